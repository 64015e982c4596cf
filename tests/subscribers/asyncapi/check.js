#!/usr/bin/env node
// Reads an AsyncAPI document with all that it refers to; says what is wrong with it.
'use strict'

const { Parser, fromFile } = require('@asyncapi/parser')

const ERROR = 0
const WARNING = 1

async function main (file) {
  const { document, diagnostics } = await fromFile(new Parser(), file).parse()
  const wrong = diagnostics.filter(({ severity }) => severity === ERROR || severity === WARNING)
  for (const { code, message, path } of wrong) {
    console.error(`${file}: ${path.join('/')}: ${message} (${code})`)
  }
  if (wrong.length > 0 || document === undefined) process.exit(1)
  console.log(`${file}: ${document.channels().length} channels, ${document.operations().length} operations`)
}

main(process.argv[2])
