//! Notices as mail: one message to a connection, by SMTP (RFC 5321) within TLS alone.
//!
//! A server that offers no STARTTLS where it is asked for gets no word more. Nothing that is sent comes from outside but the
//! address, and that has neither spaces nor line ends.

use std::time::{Duration, SystemTime};

use base64ct::{Base64, Encoding as _};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader},
    time::timeout,
};
use zeroize::Zeroizing;

use super::tls::Peer;
use crate::{
    config::{MailConfig, MailTls, NoticesError},
    hex::hex,
    notices::address::is_address,
    ports::{Courier, CourierError, Later, Letter, silent},
};

/// How long one message may take in all.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest line of an answer, and the most lines.
const LINE_BYTES_MAX: u64 = 2048;
const LINES_MAX: usize = 100;

pub(crate) struct Mailer {
    peer: Peer,
    tls: MailTls,
    from: String,
    login: Option<(String, Zeroizing<String>)>,
}

impl Mailer {
    pub(crate) fn new(config: &MailConfig) -> Result<Self, NoticesError> {
        if !is_address(&config.from) {
            return Err(NoticesError::From { address: config.from.clone() });
        }
        Ok(Self {
            peer: Peer::new(&config.host, config.port, &config.ca_pem)?,
            tls: config.tls,
            from: config.from.clone(),
            login: config.login.clone(),
        })
    }

    fn domain(&self) -> &str {
        self.from.rsplit_once('@').map_or("localhost", |(_, domain)| domain)
    }

    async fn send(&self, letter: &Letter) -> Result<(), CourierError> {
        let stream = self.peer.dial().await?;
        let secured = match self.tls {
            MailTls::Implicit => {
                let mut talk = Talk::new(self.peer.secure(stream).await?);
                talk.expect(220).await?;
                talk
            }
            MailTls::StartTls => {
                let mut plain = Talk::new(stream);
                plain.expect(220).await?;
                if !plain.hello(self.domain()).await?.iter().any(|offer| offer == "STARTTLS") {
                    return Err(CourierError::Refused { answer: "no STARTTLS is offered".into() });
                }
                plain.say("STARTTLS", 220).await?;
                Talk::new(self.peer.secure(plain.into_inner()?).await?)
            }
        };
        self.hand_over(secured, letter).await
    }

    async fn hand_over<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        mut talk: Talk<S>,
        letter: &Letter,
    ) -> Result<(), CourierError> {
        let offers = talk.hello(self.domain()).await?;
        if let Some((user, password)) = &self.login {
            let plain = |offer: &String| {
                let mut words = offer.split(' ');
                words.next() == Some("AUTH") && words.any(|word| word == "PLAIN")
            };
            if !offers.iter().any(plain) {
                return Err(CourierError::Refused { answer: "no AUTH PLAIN is offered".into() });
            }
            let secret = Zeroizing::new(format!("\0{user}\0{}", password.as_str()));
            let word = Zeroizing::new(Base64::encode_string(secret.as_bytes()));
            talk.say(&Zeroizing::new(format!("AUTH PLAIN {}", word.as_str())), 235).await?;
        }
        talk.say(&format!("MAIL FROM:<{}>", self.from), 250).await?;
        talk.say(&format!("RCPT TO:<{}>", letter.to), 250).await?;
        talk.say("DATA", 354).await?;
        talk.write(self.message(letter).as_bytes()).await?;
        // From here on it is theirs; whether they hear the farewell does not matter.
        talk.expect(250).await?;
        let _gone = talk.write(b"QUIT\r\n").await;
        Ok(())
    }

    fn message(&self, letter: &Letter) -> String {
        let when = SystemTime::UNIX_EPOCH + Duration::from_millis(letter.now_ms);
        let date = httpdate::fmt_http_date(when).replace("GMT", "+0000");
        let mut text = format!(
            "From: <{}>\r\nTo: <{}>\r\nSubject: {}\r\nDate: {date}\r\nMessage-ID: <{}@{}>\r\n\
             Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n\
             Content-Type: text/plain; charset=us-ascii\r\n\r\n",
            self.from,
            letter.to,
            letter.subject,
            hex(&letter.id),
            self.domain(),
        );
        for line in letter.body.lines() {
            if line.starts_with('.') {
                text.push('.');
            }
            text.push_str(line);
            text.push_str("\r\n");
        }
        text.push_str(".\r\n");
        text
    }
}

impl Courier for Mailer {
    fn deliver(&self, letter: Letter) -> Later<'_, Result<(), CourierError>> {
        Box::pin(async move {
            if !is_address(&letter.to) {
                return Err(CourierError::Refused { answer: "the address is none".into() });
            }
            timeout(MESSAGE_TIMEOUT, self.send(&letter)).await.map_err(silent)?
        })
    }
}

/// One dialogue: a line out, an answer in.
struct Talk<S> {
    stream: BufReader<S>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<S> {
    fn new(stream: S) -> Self {
        Self { stream: BufReader::new(stream) }
    }

    /// The stream, if nothing came that was not asked for: before TLS it could be anybody's.
    fn into_inner(self) -> Result<S, CourierError> {
        if self.stream.buffer().is_empty() {
            return Ok(self.stream.into_inner());
        }
        Err(CourierError::Refused { answer: "more was said before TLS than was asked for".into() })
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), CourierError> {
        self.stream.write_all(bytes).await.map_err(silent)?;
        self.stream.flush().await.map_err(silent)
    }

    async fn say(&mut self, line: &str, code: u16) -> Result<Vec<String>, CourierError> {
        self.write(&Zeroizing::new([line.as_bytes(), b"\r\n"].concat())).await?;
        self.expect(code).await
    }

    /// What is offered.
    async fn hello(&mut self, domain: &str) -> Result<Vec<String>, CourierError> {
        let lines = self.say(&format!("EHLO {domain}"), 250).await?;
        Ok(lines.into_iter().skip(1).map(|line| line.to_ascii_uppercase()).collect())
    }

    /// The lines of an answer with this code, without it.
    async fn expect(&mut self, code: u16) -> Result<Vec<String>, CourierError> {
        let unreadable = || CourierError::Refused { answer: "an answer that is none of SMTP".into() };
        let mut lines = Vec::new();
        while lines.len() < LINES_MAX {
            let mut bytes = Vec::new();
            let read = (&mut self.stream).take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes).await;
            if read.map_err(silent)? == 0 {
                return Err(CourierError::Silent { source: "the connection was closed".into() });
            }
            let line = String::from_utf8_lossy(&bytes);
            let line = line.strip_suffix('\n').ok_or_else(unreadable)?.trim_end_matches('\r');
            let (number, rest) = line.split_at_checked(3).ok_or_else(unreadable)?;
            let (more, text) = match rest.split_at_checked(1) {
                Some(("-", text)) => (true, text),
                Some((" ", text)) => (false, text),
                None => (false, ""),
                Some(_) => return Err(unreadable()),
            };
            let number: u16 = number.parse().map_err(|_digits| unreadable())?;
            if number != code {
                // The number alone: what a server says may hold addresses.
                return Err(CourierError::Refused { answer: format!("SMTP {number}") });
            }
            lines.push(text.to_owned());
            if !more {
                return Ok(lines);
            }
        }
        Err(unreadable())
    }
}
