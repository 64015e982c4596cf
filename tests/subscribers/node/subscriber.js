#!/usr/bin/env node
// A small monitoring centre: takes every event, keeps it, receipts it.
//
// It follows docs/mqtt.md and shows in little room what any subscriber has to do.
// It prints one JSON object a message. What it leaves out: the centre's regular
// message (docs/commands.md), operators, several brokers.
'use strict'

const fs = require('node:fs')
const path = require('node:path')
const { parseArgs } = require('node:util')
const Ajv = require('ajv/dist/2020')
const mqtt = require('mqtt')

const EVENTS = 'lonework/v1/+/+/event/+'
const WEEK_S = 7 * 24 * 3600

/** Which numbers of a (source, boot, lane) are there, and which are missing. */
class Ledger {
  // Ranges of numbers: few, since numbers are dense, and whatever a gateway may claim
  // costs no more than its own message.
  #ranges = new Map()
  #last = new Map()
  #fromTheStart = new Set()

  enter (source, data) {
    const boot = `${source} ${data.boot}`
    this.#have(`${boot} ${data.lane}`, data.number, data.number)
    if (data.kind === 'gateway_started') this.#fromTheStart.add(boot)
    const { previous, void: gone } = data.detail ?? {}
    // Up to here all must come, or be declared void.
    for (const lane of previous ? ['urgent', 'trouble', 'routine'] : []) {
      this.#last.set(`${source} ${previous.boot} ${lane}`, previous[`last_${lane}`])
    }
    // What is lost in this range is declared, the rest was delivered before.
    if (gone) this.#have(`${source} ${gone.boot} ${gone.room}`, gone.first, gone.last)
  }

  #have (series, first, last) {
    const apart = []
    for (const [a, b] of this.#ranges.get(series) ?? []) {
      if (b + 1 < first || last + 1 < a) apart.push([a, b])
      else [first, last] = [Math.min(a, first), Math.max(b, last)]
    }
    this.#ranges.set(series, [...apart, [first, last]].sort((one, other) => one[0] - other[0]))
  }

  missing () {
    const missing = {}
    for (const [series, ranges] of this.#ranges) {
      const boot = series.slice(0, series.lastIndexOf(' '))
      // Who comes late cannot know what was before.
      let before = this.#fromTheStart.has(boot) ? 0 : ranges[0][0] - 1
      const holes = []
      const end = (this.#last.get(series) ?? 0) + 1
      for (const [first, last] of [...ranges, [end, end]]) {
        if (first > before + 1) holes.push([before + 1, first - 1])
        before = Math.max(before, last)
      }
      if (holes.length > 0) missing[series] = holes
    }
    return missing
  }
}

/** What was received, durable, and what is known from it after a restart. */
class Store {
  ids = new Set()
  ledger = new Ledger()

  constructor (file) {
    this.file = fs.openSync(file, 'a+')
    const lines = fs.readFileSync(file, 'utf8').split('\n').filter(line => line !== '')
    for (const line of lines) this.#enter(JSON.parse(line))
  }

  #enter (event) {
    this.ledger.enter(event.source, event.data)
    this.ids.add(event.id)
  }

  /** True if the event is new. After this it is durable. */
  keep (event) {
    const isNew = !this.ids.has(event.id)
    this.#enter(event)
    // Also one that is known: another boot may tell it under its own number.
    fs.writeSync(this.file, JSON.stringify(event) + '\n')
    fs.fsyncSync(this.file)
    return isNew
  }
}

/** The event of a message. The broker lets a gateway write below its own name only. */
function read (topic, payload) {
  const [, , site, gateway, , lane] = topic.split('/')
  const event = JSON.parse(payload.toString())
  if (event.source !== `/lonework/${site}/${gateway}` || event.data.lane !== lane) {
    throw new Error('it claims another gateway or lane than its topic')
  }
  const { boot, number } = event.data
  if (typeof event.id !== 'string' || typeof boot !== 'string' || !Number.isSafeInteger(number)) {
    throw new Error('it has no id, boot or number')
  }
  return event
}

function say (words) {
  console.log(JSON.stringify(words))
}

const text = { type: 'string' }
const { values: given } = parseArgs({
  options: {
    host: text,
    port: { type: 'string', default: '8883' },
    ca: text, // PEM files
    cert: text,
    key: text,
    schemas: text, // the folder docs/schemas
    store: text, // file for what was received
    'client-id': { type: 'string', default: 'centre-node' }
  }
})

const schema = JSON.parse(fs.readFileSync(path.join(given.schemas, 'event.json'), 'utf8'))
// The patterns say what formats would.
const isOfSchema = new Ajv({ strict: false, validateFormats: false }).compile(schema)
const store = new Store(given.store)

const client = mqtt.connect({
  protocol: 'mqtts',
  host: given.host,
  port: Number(given.port),
  ca: fs.readFileSync(given.ca),
  cert: fs.readFileSync(given.cert),
  key: fs.readFileSync(given.key),
  clientId: given['client-id'],
  protocolVersion: 5,
  // The broker keeps events while this program is away.
  clean: false,
  properties: { sessionExpiryInterval: WEEK_S }
})

// mqtt.js tries again by itself; what is told here needs a human only if it stays.
client.on('error', error => console.error(`no connection to the broker: ${error.message}`))

client.on('connect', () => {
  client.subscribe(EVENTS, { qos: 1 }, error => {
    if (error) {
      console.error(`the broker refuses the subscription: look at its access list: ${error.message}`)
      process.exit(1)
    }
    say({ subscribed: EVENTS })
  })
})

// mqtt.js acknowledges to the broker when this has returned. All in it is synchronous, so
// what dies before it is durable comes again.
client.on('message', (topic, payload) => {
  let event, isNew
  try {
    event = read(topic, payload)
    isNew = store.keep(event)
  } catch (error) {
    // Whatever somebody may publish: say it, and go on for all the others. A store that
    // fails is no such thing: its errors have a code.
    if (error.code) throw error
    say({ topic, no_event: error.message })
    return
  }
  const { kind, lane, number, boot } = event.data
  // One for each message of every lane, also for a repetition, in these bytes.
  const receipt = JSON.stringify({ received: event.id, boot })
  client.publish(topic.replace(/\/event\/\w+$/, '/receipt'), receipt, { qos: 1 })
  // A newer gateway may say more than this schema knows: no reason to drop it.
  const fault = isOfSchema(event) ? null : isOfSchema.errors[0].message
  const missing = store.ledger.missing()
  say({ id: event.id, kind, lane, number, again: !isNew, fault, missing })
})
