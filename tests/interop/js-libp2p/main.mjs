// A small libp2p host of the JavaScript implementation, for tests against larder: the same command
// line, output and protocols as ../go-libp2p/main.go.
import './polyfill.mjs'
import { randomBytes } from 'node:crypto'
import { parseArgs } from 'node:util'
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@libp2p/yamux'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { identify } from '@libp2p/identify'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'

const ECHO = '/echo/1.0.0'
const PERF = '/perf/1.0.0'
const ECHO_BYTES = 300_000
const PERF_BYTES = 8 << 20
const PINGS = 10
const PIECE = new Uint8Array(64 * 1024)

async function sendAll (stream, bytes) {
  for (let at = 0; at < bytes.length; at += PIECE.length) {
    if (!stream.send(bytes.subarray(at, at + PIECE.length))) await stream.onDrain()
  }
}

async function sendZeros (stream, count) {
  for (let left = count; left > 0; left -= PIECE.length) {
    if (!stream.send(PIECE.subarray(0, Math.min(left, PIECE.length)))) await stream.onDrain()
  }
}

async function echo (stream) {
  for await (const piece of stream) await sendAll(stream, piece.subarray())
  await stream.close()
}

// 8 bytes say how much is wanted back, then comes the upload until its end.
async function perf (stream) {
  let head = Buffer.alloc(0)
  for await (const piece of stream) {
    if (head.length < 8) head = Buffer.concat([head, piece.subarray()])
  }
  await sendZeros(stream, Number(head.readBigUInt64BE(0)))
  await stream.close()
}

// The library asks by itself once a connection is up, and allows no second question meanwhile.
async function checkIdentify (identified) {
  const { detail: result } = await identified
  if (result.listenAddrs.length === 0 || result.protocols.length === 0 || !result.agentVersion) {
    throw new Error(`identify lacks something: ${JSON.stringify(result)}`)
  }
}

async function checkPing (node, connection) {
  for (let i = 0; i < PINGS; i++) await node.services.ping.ping(connection.remotePeer)
}

async function checkEcho (node, connection) {
  const stream = await connection.newStream(ECHO)
  const sent = randomBytes(ECHO_BYTES)
  const pieces = []
  const reading = (async () => { for await (const p of stream) pieces.push(Buffer.from(p.subarray())) })()
  await sendAll(stream, sent)
  await stream.close()
  await reading
  if (!Buffer.concat(pieces).equals(sent)) throw new Error('what came back is not the same')
}

async function checkPerf (connection, up, down) {
  const stream = await connection.newStream(PERF)
  const head = Buffer.alloc(8)
  head.writeBigUInt64BE(BigInt(down))
  let got = 0
  const reading = (async () => { for await (const p of stream) got += p.byteLength })()
  stream.send(head)
  await sendZeros(stream, up)
  await stream.close()
  await reading
  if (got !== down) throw new Error(`${got} bytes instead of ${down}`)
}

async function dial (node, target) {
  const identified = new Promise(resolve =>
    node.addEventListener('peer:identify', resolve, { once: true }))
  const connection = await node.dial(multiaddr(target), { signal: AbortSignal.timeout(15_000) })
  console.log(`connected security=${connection.encryption} muxer=${connection.multiplexer}`)
  const checks = {
    identify: () => checkIdentify(identified),
    ping: () => checkPing(node, connection),
    echo: () => checkEcho(node, connection),
    upload: () => checkPerf(connection, PERF_BYTES, 0),
    download: () => checkPerf(connection, 0, PERF_BYTES)
  }
  let failed = 0
  for (const [name, run] of Object.entries(checks)) {
    try {
      await Promise.race([run(), new Promise((_resolve, reject) =>
        setTimeout(() => reject(new Error('timed out')), 60_000).unref())])
      console.log(`ok ${name}`)
    } catch (err) {
      failed++
      console.log(`FAIL ${name}: ${err.message}`)
    }
  }
  return failed === 0
}

const { values: flags } = parseArgs({
  options: {
    listen: { type: 'string' },
    dial: { type: 'string' },
    key: { type: 'string', default: 'ed25519' }
  }
})
const kinds = { ed25519: 'Ed25519', secp256k1: 'secp256k1', rsa: 'RSA' }
const node = await createLibp2p({
  privateKey: await generateKeyPair(kinds[flags.key]),
  addresses: { listen: flags.listen ? [flags.listen] : [] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  services: { identify: identify(), ping: ping() }
})
await node.handle(ECHO, echo)
await node.handle(PERF, perf)
if (flags.dial) {
  const ok = await dial(node, flags.dial)
  await node.stop()
  process.exit(ok ? 0 : 1)
}
for (const a of node.getMultiaddrs()) console.log(`listening ${a}`)
process.stdin.resume()
process.stdin.on('end', async () => { await node.stop(); process.exit(0) })
