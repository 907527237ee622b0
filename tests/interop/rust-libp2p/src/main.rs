//! A peer on rust-libp2p for the interoperation test: it listens and prints its address until its
//! input ends, or dials a listener and runs the list of checks against it. TCP, Noise, Yamux.
//!
//!     rust-peer KEY listen /ip4/127.0.0.1      KEY: ed25519 or secp256k1
//!     rust-peer KEY dial /ip4/…/tcp/…/p2p/…
mod services;

use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{
    identify, identity::Keypair, multiaddr::Protocol, noise, ping, tcp, yamux, Multiaddr, PeerId,
    Swarm,
};
use libp2p_stream::Control;
use services::{perf, serve, serve_echo, serve_perf, Fallible, ECHO, PERF};
use tokio::io::AsyncReadExt as _;

const PINGS: u32 = 10;

#[derive(NetworkBehaviour)]
struct Behaviour {
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    stream: libp2p_stream::Behaviour,
}

fn make_swarm(kind: &str, dials: bool) -> Fallible<Swarm<Behaviour>> {
    let key = match kind {
        "ed25519" => Keypair::generate_ed25519(),
        "secp256k1" => Keypair::generate_secp256k1(),
        _ => return Err("the key is ed25519 or secp256k1".into()),
    };
    let interval = Duration::from_millis(if dials { 20 } else { 15_000 });
    let swarm = libp2p::SwarmBuilder::with_existing_identity(key)
        .with_tokio()
        .with_tcp(
            tcp::Config::default(),
            noise::Config::new,
            yamux::Config::default,
        )?
        .with_behaviour(|key| Behaviour {
            identify: identify::Behaviour::new(identify::Config::new(
                "larder-test/1.0.0".into(),
                key.public(),
            )),
            ping: ping::Behaviour::new(ping::Config::new().with_interval(interval)),
            stream: libp2p_stream::Behaviour::new(),
        })?
        .with_swarm_config(|c| c.with_idle_connection_timeout(Duration::from_secs(60)))
        .build();
    Ok(swarm)
}

async fn echo(mut control: Control, peer: PeerId) -> Fallible<()> {
    let data: Vec<u8> = (0..300_000u32).map(|i| (i * 31 + (i >> 8)) as u8).collect();
    let (mut from, mut to) = control.open_stream(peer, ECHO).await?.split();
    let mut got = Vec::new();
    let send = async {
        to.write_all(&data).await?;
        to.close().await
    };
    let (sent, read) = futures::join!(send, from.read_to_end(&mut got));
    sent?;
    read?;
    if got != data {
        return Err(format!("{} other bytes came back", got.len()).into());
    }
    Ok(())
}

/// Prints the line of a check; true when it passed.
fn check(name: &str, result: Fallible<()>) -> bool {
    match &result {
        Ok(()) => println!("ok - {name}"),
        Err(err) => println!("not ok - {name}: {err}"),
    }
    result.is_ok()
}

async fn exchanges(control: Control, peer: PeerId) -> bool {
    let mut ok = check("300,000 bytes echoed", echo(control.clone(), peer).await);
    ok &= check("8 MiB up", perf(control.clone(), peer, 8 << 20, 0).await);
    ok & check("8 MiB down", perf(control, peer, 0, 8 << 20).await)
}

/// What has to be seen of the peer before the exchanges begin.
#[derive(Default)]
struct Seen {
    pings: u32,
    identified: bool,
}

async fn dial(mut swarm: Swarm<Behaviour>, target: Multiaddr) -> Fallible<bool> {
    let Some(Protocol::P2p(peer)) = target.iter().last() else {
        return Err("the address does not end in a peer".into());
    };
    swarm.dial(target)?;
    let mut seen = Seen::default();
    let mut ok = true;
    let mut running = None;
    loop {
        if running.is_none() && seen.pings == PINGS && seen.identified {
            ok &= check("ten pings", Ok(()));
            running = Some(tokio::spawn(exchanges(
                swarm.behaviour().stream.new_control(),
                peer,
            )));
        }
        if running.as_ref().is_some_and(|task| task.is_finished()) {
            return Ok(running.take().expect("it runs").await? & ok);
        }
        let tick = tokio::time::sleep(Duration::from_millis(10));
        let event = tokio::select! {
            event = swarm.select_next_some() => event,
            () = tick => continue,
        };
        match event {
            SwarmEvent::ConnectionEstablished { .. } => ok &= check("connect", Ok(())),
            SwarmEvent::OutgoingConnectionError { error, .. } => {
                return Ok(check("connect", Err(error.to_string().into())));
            }
            SwarmEvent::ConnectionClosed { cause, .. } => {
                return Ok(check("the connection stays", Err(format!("{cause:?}").into())));
            }
            SwarmEvent::Behaviour(BehaviourEvent::Ping(ping::Event { result, .. })) => match result {
                Ok(_) if seen.pings < PINGS => seen.pings += 1,
                Ok(_) => {}
                Err(err) => return Ok(check("ten pings", Err(err.to_string().into()))),
            },
            SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Received {
                info,
                ..
            })) if !seen.identified => {
                seen.identified = true;
                println!("# agent {}, {:?}", info.agent_version, info.protocols);
                let whole = !info.protocols.is_empty() && !info.listen_addrs.is_empty();
                let missing = "protocols or addresses are missing";
                ok &= check("identify", whole.then_some(()).ok_or(missing.into()));
            }
            _ => {}
        }
    }
}

async fn listen(mut swarm: Swarm<Behaviour>, net: Multiaddr) -> Fallible<bool> {
    swarm.listen_on(net.with(Protocol::Tcp(0)))?;
    let mut input = tokio::io::stdin();
    let mut byte = [0; 64];
    loop {
        tokio::select! {
            event = swarm.select_next_some() => {
                if let SwarmEvent::NewListenAddr { address, .. } = event {
                    println!("{address}/p2p/{}", swarm.local_peer_id());
                    // Identify tells what is confirmed and what is listened on.
                    swarm.add_external_address(address);
                }
            }
            read = input.read(&mut byte) => {
                if read? == 0 {
                    return Ok(true);
                }
            }
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Fallible<()> {
    let args: Vec<String> = std::env::args().collect();
    let [_, kind, mode, address] = args.as_slice() else {
        return Err("usage: rust-peer KEY listen|dial MULTIADDR".into());
    };
    let swarm = make_swarm(kind, mode == "dial")?;
    let mut control = swarm.behaviour().stream.new_control();
    serve(control.accept(ECHO)?, serve_echo);
    serve(control.accept(PERF)?, serve_perf);
    let address = address.parse()?;
    let ok = match mode.as_str() {
        "listen" => listen(swarm, address).await?,
        _ => dial(swarm, address).await?,
    };
    // A read of standard input would keep the runtime waiting.
    std::process::exit(i32::from(!ok));
}
