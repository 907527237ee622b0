//! The other side of build/larder-bench net, on rust-libp2p: TCP, Noise, Yamux, ed25519. It takes
//! the orders that tests/bench/net_side.h lists, one a line, and answers each with one line.
mod services;

use std::fs;
use std::time::{Duration, Instant};

use futures::{AsyncWriteExt, StreamExt};
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{
    identify, multiaddr::Protocol, noise, tcp, yamux, Multiaddr, PeerId, StreamProtocol, Swarm,
};
use libp2p_stream::Control;
use services::{drain, perf, serve, serve_echo, serve_perf, Fallible, ECHO, PERF};
use tokio::io::{AsyncBufReadExt, BufReader};

/// Answered, not asked: the holder of idle connections begins with one.
const PING: StreamProtocol = StreamProtocol::new("/ipfs/ping/1.0.0");
const ECHO_BYTES: usize = 64;

#[derive(NetworkBehaviour)]
struct Behaviour {
    identify: identify::Behaviour,
    stream: libp2p_stream::Behaviour,
}

fn make_swarm() -> Fallible<Swarm<Behaviour>> {
    let swarm = libp2p::SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(
            tcp::Config::default().nodelay(true),
            noise::Config::new,
            yamux::Config::default,
        )?
        .with_behaviour(|key| Behaviour {
            identify: identify::Behaviour::new(identify::Config::new(
                "larder-bench/1.0.0".into(),
                key.public(),
            )),
            stream: libp2p_stream::Behaviour::new(),
        })?
        .with_swarm_config(|c| c.with_idle_connection_timeout(Duration::from_secs(600)))
        .build();
    Ok(swarm)
}

async fn streams(mut control: Control, peer: PeerId, n: u64) -> Fallible<()> {
    let data = [0; ECHO_BYTES];
    for _ in 0..n {
        let mut stream = control.open_stream(peer, ECHO).await?;
        stream.write_all(&data).await?;
        stream.close().await?;
        match drain(&mut stream).await? {
            64 => {}
            got => return Err(format!("{got} bytes came back").into()),
        }
    }
    Ok(())
}

/// CPU time of all threads, in nanoseconds.
fn cpu() -> u64 {
    let mut sum = 0;
    for task in fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten()
    {
        let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        sum += text
            .split(' ')
            .next()
            .and_then(|n| n.parse().ok())
            .unwrap_or(0);
    }
    sum
}

fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("RssAnon:"));
    let kib = line.and_then(|l| l.trim().trim_end_matches(" kB").parse().ok());
    kib.unwrap_or(0u64) << 10
}

/// Until the peer is identified.
async fn connect(swarm: &mut Swarm<Behaviour>, to: &Multiaddr) -> Fallible<()> {
    swarm.dial(to.clone())?;
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Received {
                ..
            })) => return Ok(()),
            SwarmEvent::OutgoingConnectionError { error, .. } => return Err(error.into()),
            _ => {}
        }
    }
}

async fn disconnect(swarm: &mut Swarm<Behaviour>, peer: PeerId) {
    if swarm.disconnect_peer_id(peer).is_err() {
        return;
    }
    while !matches!(
        swarm.select_next_some().await,
        SwarmEvent::ConnectionClosed { .. }
    ) {}
}

/// Does what a line asks for, and returns the answer.
async fn order(swarm: &mut Swarm<Behaviour>, line: &str) -> Fallible<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [name, address, n] = words.as_slice() else {
        return Ok(format!("{} {}", cpu(), resident_bytes()));
    };
    let (to, n): (Multiaddr, u64) = (address.parse()?, n.parse()?);
    let Some(Protocol::P2p(peer)) = to.iter().last() else {
        return Err("the address does not end in a peer".into());
    };
    if *name != "connects" {
        connect(swarm, &to).await?;
    }
    let control = swarm.behaviour().stream.new_control();
    let (wall, before) = (Instant::now(), cpu());
    let task = match *name {
        "connects" => {
            for _ in 0..n {
                connect(swarm, &to).await?;
                disconnect(swarm, peer).await;
            }
            tokio::spawn(async { Ok(()) })
        }
        "send" => tokio::spawn(perf(control, peer, n, 0)),
        "receive" => tokio::spawn(perf(control, peer, 0, n)),
        "streams" => tokio::spawn(streams(control, peer, n)),
        _ => return Err(format!("no order is called {name:?}").into()),
    };
    tokio::pin!(task);
    loop {
        tokio::select! {
            _ = swarm.select_next_some() => {}
            done = &mut task => break done??,
        }
    }
    let answer = format!("{} {}", wall.elapsed().as_nanos(), cpu() - before);
    disconnect(swarm, peer).await;
    Ok(answer)
}

async fn run() -> Fallible<()> {
    let net: Multiaddr = std::env::args()
        .nth(1)
        .ok_or("usage: rust-bench NET")?
        .parse()?;
    let mut swarm = make_swarm()?;
    let mut control = swarm.behaviour().stream.new_control();
    serve(control.accept(ECHO)?, serve_echo);
    serve(control.accept(PING)?, serve_echo);
    serve(control.accept(PERF)?, serve_perf);
    swarm.listen_on(net.with(Protocol::Tcp(0)))?;
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    loop {
        tokio::select! {
            event = swarm.select_next_some() => {
                if let SwarmEvent::NewListenAddr { address, .. } = event {
                    println!("{address}/p2p/{}", swarm.local_peer_id());
                }
            }
            line = lines.next_line() => match line? {
                None => return Ok(()),
                Some(line) => match order(&mut swarm, &line).await {
                    Ok(answer) => println!("{answer}"),
                    Err(err) => println!("failed {err}"),
                },
            }
        }
    }
}

#[tokio::main]
async fn main() -> Fallible<()> {
    let result = run().await;
    if let Err(err) = &result {
        println!("failed {err}");
    }
    // A read of standard input would keep the runtime waiting.
    std::process::exit(i32::from(result.is_err()));
}
