//! Which protocol a client speaks, by the first bytes that it sends.

use std::io;

use bytes::Bytes;
use tokio::io::AsyncReadExt as _;

use crate::patient::Patient;
use crate::successor::Stream;

/// What a client of HTTP/2 says first, who knows beforehand that the server speaks it.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// Reads until it is clear which protocol this is, and puts back what it has read.
pub(super) async fn read<S: Stream>(stream: &mut Patient<S>) -> io::Result<Protocol> {
    let mut first = [0; PREFACE.len()];
    let mut length = 0;
    let protocol = loop {
        let more = stream.read(&mut first[length..]).await?;
        length += more;
        if more == 0 || first[..length] != PREFACE[..length] {
            // What ends early is for HTTP/1.1 to refuse.
            break Protocol::Http1;
        }
        if length == PREFACE.len() {
            break Protocol::Http2;
        }
    };
    stream.put_back(Bytes::copy_from_slice(&first[..length]));
    Ok(protocol)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::{PREFACE, Protocol, read};
    use crate::patient::Patient;
    use crate::seats::Seats;

    async fn check(pieces: &[&[u8]], expected: Protocol) {
        let (mut client, server) = duplex(1);
        let seat = Seats::new(1, None).take(IpAddr::from([127, 0, 0, 1])).await;
        let mut server = Patient::new(server, Arc::new(seat), Duration::from_secs(1));
        let send = async {
            for piece in pieces {
                client.write_all(piece).await.unwrap();
            }
            drop(client);
        };
        let receive = async {
            let protocol = read(&mut server).await.unwrap();
            let mut all = Vec::new();
            server.read_to_end(&mut all).await.unwrap();
            (protocol, all)
        };
        let ((), (protocol, all)) = tokio::join!(send, receive);
        assert_eq!((protocol, all), (expected, pieces.concat()));
    }

    #[tokio::test]
    async fn nothing_is_lost_by_looking() {
        check(&[b"GET / HTTP/1.1\r\n\r\n"], Protocol::Http1).await;
        check(&[b"PR", b"OPFIND / HTTP/1.1\r\n\r\n"], Protocol::Http1).await;
        check(&[PREFACE, b"more"], Protocol::Http2).await;
        check(&[&PREFACE[..7]], Protocol::Http1).await;
        check(&[], Protocol::Http1).await;
    }
}
