//! [`Client`]: HTTP by hand over one connection, so that a test decides over every byte and every moment.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// How long a test waits for an answer before it fails.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Client<S = TcpStream> {
    reader: BufReader<S>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    /// The body; what is not text in it is replaced.
    pub(crate) body: String,
    pub(crate) bytes: Vec<u8>,
}

impl Answer {
    /// The value of a header; its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The text of an error, which must be of the protocol's form.
    #[track_caller]
    pub(crate) fn error(&self) -> String {
        assert!(self.status >= 400, "{self:?}");
        let json = self.json();
        let members = json.as_object().expect("an object");
        assert_eq!(members.len(), 1, "{json}");
        let text = members["error"].as_str().expect("a text");
        assert!(!text.is_empty());
        text.to_owned()
    }

    /// Checks the status and that the text of the error holds all of these.
    #[track_caller]
    pub(crate) fn assert_error(&self, status: u16, parts: &[&str]) {
        let error = self.error();
        assert_eq!(self.status, status, "{error}");
        for part in parts {
            assert!(error.contains(part), "`{part}` is not in `{error}`");
        }
    }

    /// Checks that this is what the doubling model makes of `ONE_ROW`.
    #[track_caller]
    pub(crate) fn assert_doubled(&self) {
        assert_eq!(self.status, 200, "{self:?}");
        assert_eq!(self.json()["outputs"][0]["data"], serde_json::json!([2.0, 5.0]));
    }
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream)
    }

    /// Goes, as a process that is killed does: the socket is closed.
    pub(crate) fn disconnect(mut self) {
        self.stream().shutdown(Shutdown::Both).unwrap();
    }
}

impl<S: Read + Write> Client<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self { reader: BufReader::new(stream) }
    }

    pub(crate) fn stream(&mut self) -> &mut S {
        self.reader.get_mut()
    }

    pub(crate) fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream().write_all(bytes.as_ref()).unwrap();
    }

    /// Sends a request and does not wait.
    pub(crate) fn send(&mut self, method: &str, path: &str, headers: &str, body: &str) {
        let length = body.len();
        self.write(format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        ));
    }

    pub(crate) fn request(&mut self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        self.send(method, path, headers, body);
        self.answer()
    }

    /// Asks the model `m` with a body of any kind.
    pub(crate) fn infer_bytes(&mut self, headers: &str, body: &[u8]) -> Answer {
        let length = body.len();
        self.write(format!(
            "POST /v2/models/m/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n{headers}\r\n"
        ));
        self.write(body);
        self.answer()
    }

    pub(crate) fn get(&mut self, path: &str) -> Answer {
        self.request("GET", path, "", "")
    }

    /// Asks the model `m`.
    pub(crate) fn infer(&mut self, body: &str) -> Answer {
        self.request("POST", "/v2/models/m/infer", "", body)
    }

    /// Asks the model `m` and does not wait.
    pub(crate) fn send_infer(&mut self, body: &str) {
        self.send("POST", "/v2/models/m/infer", "", body);
    }

    /// Reads one answer.
    #[track_caller]
    pub(crate) fn answer(&mut self) -> Answer {
        self.try_answer().expect("the connection ended without an answer")
    }

    /// Reads one answer whose body comes in chunks, to its end.
    #[track_caller]
    pub(crate) fn chunked(&mut self) -> Answer {
        let mut answer = self.chunked_head();
        loop {
            let chunk = self.chunk();
            if chunk.is_empty() {
                return answer;
            }
            answer.body.push_str(&chunk);
        }
    }

    /// Reads the head of an answer whose body comes in chunks.
    #[track_caller]
    pub(crate) fn chunked_head(&mut self) -> Answer {
        let answer = self.head().expect("the connection ended without an answer");
        assert_eq!(answer.header("transfer-encoding"), Some("chunked"), "{answer:?}");
        answer
    }

    /// Reads one chunk as text; the last one is empty.
    #[track_caller]
    pub(crate) fn chunk(&mut self) -> String {
        let line = self.line().expect("a chunk begins with its length");
        let length = usize::from_str_radix(&line, 16).unwrap();
        // Each chunk ends with an empty line.
        let mut chunk = vec![0; length + 2];
        self.reader.read_exact(&mut chunk).unwrap();
        chunk.truncate(length);
        String::from_utf8(chunk).unwrap()
    }

    /// Reads one answer; `None` if the connection ends instead.
    pub(crate) fn try_answer(&mut self) -> Option<Answer> {
        let mut answer = self.head()?;
        let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body).unwrap();
        answer.body = String::from_utf8_lossy(&body).into_owned();
        answer.bytes = body;
        Some(answer)
    }

    /// Reads the head of an answer.
    fn head(&mut self) -> Option<Answer> {
        let line = self.line()?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let mut answer = Answer {
            status: status.unwrap_or_else(|| panic!("no status in `{line}`")),
            headers: Vec::new(),
            body: String::new(),
            bytes: Vec::new(),
        };
        loop {
            let line = self.line().expect("the head ends");
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            answer.headers.push((name.to_lowercase(), value.trim().to_owned()));
        }
        Some(answer)
    }

    /// Reads what comes, line by line, up to the first that begins so; gives that line.
    #[track_caller]
    pub(crate) fn line_with(&mut self, begin: &str) -> String {
        loop {
            let line = self.line().expect("the connection goes on");
            if line.starts_with(begin) {
                return line;
            }
        }
    }

    /// Reads what comes until the connection ends.
    pub(crate) fn rest(&mut self) -> String {
        let mut rest = String::new();
        self.reader.read_to_string(&mut rest).unwrap();
        rest
    }

    /// Asks, and reads the head of the answer only: its body has no end, or there is none.
    pub(crate) fn head_of(&mut self, method: &str, path: &str) -> Answer {
        self.head_with(method, path, "")
    }

    /// The same for a request with these headers.
    pub(crate) fn head_with(&mut self, method: &str, path: &str, headers: &str) -> Answer {
        self.write(format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n"));
        self.head().expect("the connection ended without an answer")
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => Some(line.trim_end().to_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("no answer: {error}"),
        }
    }

    /// Checks that the server has closed the connection.
    #[track_caller]
    pub(crate) fn assert_closed(&mut self) {
        assert!(self.try_answer().is_none());
    }
}
