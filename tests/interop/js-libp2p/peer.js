// A peer on js-libp2p for the interoperation test: it listens and prints its address until its input
// ends, or dials a listener and prints one line per check.
//
//     peer.js KEY listen /ip4/127.0.0.1      KEY: ed25519, secp256k1 or rsa
//     peer.js KEY dial MULTIADDR
import './with-resolvers.js'
import { noise } from '@chainsafe/libp2p-noise'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { identify } from '@libp2p/identify'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'

const ECHO = '/test/echo/1.0.0'
const PERF = '/perf/1.0.0' // 8 bytes: how much is wanted back; then data until the end

const names = { ed25519: 'Ed25519', secp256k1: 'secp256k1', rsa: 'RSA' }
const [, , kind, mode, where] = process.argv
const node = await createLibp2p({
  privateKey: await generateKeyPair(names[kind]),
  addresses: { listen: mode === 'listen' ? [where + '/tcp/0'] : [] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  services: { identify: identify(), ping: ping() }
})

async function send (stream, data) {
  for (let at = 0; at < data.length; at += 65536) {
    if (!stream.send(data.subarray(at, at + 65536))) {
      await stream.onDrain()
    }
  }
}

async function receive (stream) {
  const parts = []
  for await (const part of stream) {
    parts.push(part.subarray())
  }
  return Buffer.concat(parts)
}

await node.handle(ECHO, async stream => {
  await send(stream, await receive(stream))
  await stream.close()
})
await node.handle(PERF, async stream => {
  const got = await receive(stream)
  await send(stream, new Uint8Array(Number(got.readBigUInt64BE(0))))
  await stream.close()
})

let failed = false
async function check (name, body) {
  try {
    await body()
    console.log(`ok - ${name}`)
  } catch (err) {
    failed = true
    console.log(`not ok - ${name}: ${err.message}`)
  }
}

function equal (got, want) {
  if (!Buffer.from(got).equals(Buffer.from(want))) {
    throw new Error(`${got.length} other bytes came back`)
  }
}

async function exchange (connection, protocol, data) {
  const stream = await connection.newStream(protocol)
  const answer = receive(stream)
  await send(stream, data)
  await stream.close()
  return answer
}

function perfData (up, down) {
  const data = Buffer.alloc(8 + up)
  data.writeBigUInt64BE(BigInt(down))
  return data
}

async function dial () {
  const target = multiaddr(where)
  const identified = new Promise(resolve => {
    node.addEventListener('peer:identify', event => resolve(event.detail), { once: true })
  })
  let connection
  await check('connect', async () => { connection = await node.dial(target) })
  if (!connection) {
    return
  }
  await check('identify', async () => {
    const seen = await identified
    if (!seen.agentVersion || seen.protocols.length === 0 || seen.listenAddrs.length === 0) {
      throw new Error('agent, protocols or addresses are missing')
    }
    console.log(`# agent ${seen.agentVersion}`)
  })
  await check('ten pings', async () => {
    for (let i = 0; i < 10; i++) {
      await node.services.ping.ping(connection.remotePeer)
    }
  })
  const data = Buffer.alloc(300000, 'larder')
  await check('300,000 bytes echoed', async () => equal(await exchange(connection, ECHO, data), data))
  await check('8 MiB up', async () => equal(await exchange(connection, PERF, perfData(8 << 20, 0)), []))
  await check('8 MiB down', async () => {
    equal(await exchange(connection, PERF, perfData(0, 8 << 20)), Buffer.alloc(8 << 20))
  })
}

if (mode === 'listen') {
  console.log(node.getMultiaddrs()[0].toString())
  process.stdin.resume()
  process.stdin.on('end', async () => { await node.stop(); process.exit(0) })
} else {
  await dial()
  await node.stop()
  process.exit(failed ? 1 : 0)
}
