//! What both programs serve and ask for: an echo, and as many bytes each way as are wanted.
use std::error::Error;
use std::future::Future;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, StreamExt};
use libp2p::{PeerId, Stream, StreamProtocol};
use libp2p_stream::{Control, IncomingStreams};

pub const ECHO: StreamProtocol = StreamProtocol::new("/test/echo/1.0.0");
/// 8 bytes: how much is wanted back; then data until the end.
pub const PERF: StreamProtocol = StreamProtocol::new("/perf/1.0.0");
const PIECE_BYTES: usize = 64 << 10;

pub type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Takes what comes until the end, and returns how much it was.
pub async fn drain(stream: &mut (impl AsyncRead + Unpin)) -> Fallible<u64> {
    let mut buf = vec![0; PIECE_BYTES];
    let mut sum = 0;
    loop {
        match stream.read(&mut buf).await? {
            0 => return Ok(sum),
            n => sum += n as u64,
        }
    }
}

async fn send_zeros(stream: &mut (impl AsyncWrite + Unpin), mut size: u64) -> Fallible<()> {
    let buf = vec![0; PIECE_BYTES];
    while size > 0 {
        let n = size.min(PIECE_BYTES as u64);
        stream.write_all(&buf[..n as usize]).await?;
        size -= n;
    }
    Ok(())
}

pub async fn serve_echo(stream: Stream) -> Fallible<()> {
    let (from, mut to) = stream.split();
    futures::io::copy(from, &mut to).await?;
    to.close().await?;
    Ok(())
}

pub async fn serve_perf(mut stream: Stream) -> Fallible<()> {
    let mut head = [0; 8];
    stream.read_exact(&mut head).await?;
    drain(&mut stream).await?;
    send_zeros(&mut stream, u64::from_be_bytes(head)).await?;
    stream.close().await?;
    Ok(())
}

pub fn serve<F>(mut incoming: IncomingStreams, handler: fn(Stream) -> F)
where
    F: Future<Output = Fallible<()>> + Send + 'static,
{
    tokio::spawn(async move {
        while let Some((_, stream)) = incoming.next().await {
            tokio::spawn(async move {
                if let Err(err) = handler(stream).await {
                    eprintln!("a stream failed: {err}");
                }
            });
        }
    });
}

pub async fn perf(mut control: Control, peer: PeerId, up: u64, down: u64) -> Fallible<()> {
    let mut stream = control.open_stream(peer, PERF).await?;
    stream.write_all(&down.to_be_bytes()).await?;
    send_zeros(&mut stream, up).await?;
    stream.close().await?;
    match drain(&mut stream).await? {
        got if got == down => Ok(()),
        got => Err(format!("{got} bytes instead of {down}").into()),
    }
}
