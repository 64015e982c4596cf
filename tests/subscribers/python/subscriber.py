#!/usr/bin/env python3
"""A small monitoring centre: takes every event, keeps it, receipts it.

It follows docs/mqtt.md and shows in little room what any subscriber has to do.
It prints one JSON object a message. What it leaves out: the centre's regular
message (docs/commands.md), operators, several brokers.
"""

import argparse
import json
import os
import sys
from collections import defaultdict
from pathlib import Path

import paho.mqtt.client as mqtt
from cloudevents.core.exceptions import BaseCloudEventException
from cloudevents.core.formats.json import JSONFormat
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

EVENTS = "lonework/v1/+/+/event/+"
WEEK_S = 7 * 24 * 3600


class Ledger:
    """Which numbers of a (source, boot, lane) are there, and which are missing."""

    def __init__(self):
        # Ranges of numbers: few, since numbers are dense, and whatever a gateway
        # may claim costs no more than its own message.
        self.ranges = defaultdict(list)
        self.last = {}
        self.from_the_start = set()

    def enter(self, source, data):
        boot = data["boot"]
        self.have((source, boot, data["lane"]), data["number"], data["number"])
        if data["kind"] == "gateway_started":
            self.from_the_start.add((source, boot))
        detail = data.get("detail", {})
        if previous := detail.get("previous"):
            # Up to here all must come, or be declared void.
            for lane in ("urgent", "trouble", "routine"):
                self.last[source, previous["boot"], lane] = int(previous[f"last_{lane}"])
        if void := detail.get("void"):
            # What is lost in this range is declared, the rest was delivered before.
            self.have((source, void["boot"], void["room"]), void["first"], void["last"])

    def have(self, series, first, last):
        apart = []
        for a, b in self.ranges[series]:
            if b + 1 < first or last + 1 < a:
                apart.append((a, b))
            else:
                first, last = min(a, first), max(b, last)
        self.ranges[series] = sorted([*apart, (first, last)])

    def missing(self):
        missing = {}
        for (source, boot, lane), ranges in self.ranges.items():
            # Who comes late cannot know what was before.
            before = 0 if (source, boot) in self.from_the_start else ranges[0][0] - 1
            holes = []
            end = self.last.get((source, boot, lane), 0) + 1
            for first, last in [*ranges, (end, end)]:
                if first > before + 1:
                    holes.append([before + 1, first - 1])
                before = max(before, last)
            if holes:
                missing[f"{source} {boot} {lane}"] = holes
        return missing


class Store:
    """What was received, durable, and what is known from it after a restart."""

    def __init__(self, path):
        self.ids, self.ledger = set(), Ledger()
        self.file = open(path, "a+b")
        self.file.seek(0)
        for line in self.file:
            self.enter(json.loads(line))

    def enter(self, event):
        self.ledger.enter(event["source"], event["data"])
        self.ids.add(event["id"])

    def keep(self, event):
        """True if the event is new. After this it is durable."""
        is_new = event["id"] not in self.ids
        self.enter(event)
        # Also one that is known: another boot may tell it under its own number.
        self.file.write(json.dumps(event).encode() + b"\n")
        self.file.flush()
        os.fsync(self.file.fileno())
        return is_new


class Subscriber:
    def __init__(self, schemas, store):
        schema = json.loads((schemas / "event.json").read_text())
        self.validator = Draft202012Validator(schema)
        self.store = store

    def on_connect(self, client, _userdata, _flags, reason, _properties):
        if reason.is_failure:
            sys.exit(f"the broker refuses the connection: {reason}")
        client.subscribe(EVENTS, qos=1)

    def on_subscribe(self, _client, _userdata, _mid, reasons, _properties):
        if any(reason.is_failure for reason in reasons):
            sys.exit(f"the broker refuses the subscription: look at its access list: {reasons}")
        say(subscribed=EVENTS)

    def on_message(self, client, _userdata, message):
        try:
            event = read(message.topic, message.payload)
            fault = best_match(self.validator.iter_errors(event))
            is_new = self.store.keep(event)
        # Whatever somebody may publish: say it, and go on for all the others.
        except (
            BaseCloudEventException, ValueError, KeyError, TypeError, AttributeError, RecursionError
        ) as error:
            say(topic=message.topic, no_event=f"{type(error).__name__}: {error}")
        else:
            data = event["data"]
            # One for each message of every lane, also for a repetition, in these bytes.
            receipt = f'{{"received":"{event["id"]}","boot":"{data["boot"]}"}}'
            client.publish(f"{message.topic.rsplit('/', 2)[0]}/receipt", receipt, qos=1)
            say(
                id=event["id"],
                kind=data["kind"],
                lane=data["lane"],
                number=data["number"],
                again=not is_new,
                # A newer gateway may say more than this schema knows: no reason to drop it.
                fault=fault and fault.message,
                missing=self.store.ledger.missing(),
            )
        # Only now: what dies before comes again.
        client.ack(message.mid, message.qos)


def read(topic, payload):
    """The event of a message. The broker lets a gateway write below its own name only."""
    envelope = JSONFormat().read(None, payload)
    _, _, site, gateway, _, lane = topic.split("/")
    event = json.loads(payload)
    if envelope.get_source() != f"/lonework/{site}/{gateway}" or event["data"]["lane"] != lane:
        raise ValueError("it claims another gateway or lane than its topic")
    return event


def say(**words):
    print(json.dumps(words), flush=True)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--host", required=True)
    arguments.add_argument("--port", type=int, default=8883)
    for name in ("--ca", "--cert", "--key"):
        arguments.add_argument(name, required=True, help="PEM file")
    arguments.add_argument("--schemas", type=Path, required=True, help="the folder docs/schemas")
    arguments.add_argument("--store", required=True, help="file for what was received")
    arguments.add_argument("--client-id", default="centre-python")
    given = arguments.parse_args()

    subscriber = Subscriber(given.schemas, Store(given.store))
    client = mqtt.Client(
        mqtt.CallbackAPIVersion.VERSION2,
        client_id=given.client_id,
        protocol=mqtt.MQTTv5,
        manual_ack=True,
    )
    client.tls_set(given.ca, given.cert, given.key)
    client.on_connect = subscriber.on_connect
    client.on_subscribe = subscriber.on_subscribe
    client.on_message = subscriber.on_message
    # The broker keeps events while this program is away.
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = WEEK_S
    client.connect(given.host, given.port, clean_start=False, properties=properties)
    client.loop_forever()


if __name__ == "__main__":
    main()
