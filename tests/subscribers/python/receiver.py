#!/usr/bin/env python3
"""An alarm receiver of SIA DC-09: pysiaalarm, which others wrote, for the tests.

It prints one JSON object when it listens, and one for each event that it acknowledged.
"""

import argparse
import json
import threading

from pysiaalarm import CommunicationsProtocol, SIAAccount, SIAClient


def say(what):
    print(json.dumps(what), flush=True)


def took(event):
    say(
        {
            "type": event.message_type.value,
            "account": event.account,
            "code": event.code,
            "message": event.message,
            "contact_id": event.event_type,
            "zone": event.ri,
            "sequence": event.sequence,
            "encrypted": event.encrypted,
            "extended": {data.identifier: data.value for data in event.extended_data or []},
        }
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--udp", action="store_true")
    parser.add_argument("--account", action="append", required=True)
    parser.add_argument("--key", help="16, 24 or 32 characters")
    arguments = parser.parse_args()
    protocol = CommunicationsProtocol.UDP if arguments.udp else CommunicationsProtocol.TCP
    accounts = [SIAAccount(account, arguments.key) for account in arguments.account]
    # Not the asynchronous one, whose UDP refuses the transport of Python 3.11.
    receiver = SIAClient("127.0.0.1", arguments.port, accounts, took, protocol=protocol)
    receiver.start()
    say({"listening": receiver.sia_server.server_address[1]})
    threading.Event().wait()


if __name__ == "__main__":
    main()
