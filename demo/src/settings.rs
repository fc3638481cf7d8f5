//! What the environment says: addresses, the data directory, the password, who else may connect.
//!
//! Pure: the environment is passed in as a function.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use crate::error::LaunchError;

/// The password of everybody.
pub(crate) const PASSWORD: &str = "LANDSIDE_DEMO_PASSWORD";
const HTTP: &str = "LANDSIDE_HTTP";
const STOMP: &str = "LANDSIDE_STOMP";
const METRICS: &str = "LANDSIDE_METRICS";
const ORIGINS: &str = "LANDSIDE_ORIGINS";
const TOKEN_SECONDS: &str = "LANDSIDE_TOKEN_SECONDS";
const DATA: &str = "LANDSIDE_DATA";

/// What `--help` says about the environment.
pub const HELP: &str = "\
Environment:
  LANDSIDE_DEMO_PASSWORD  the one password of all logins and of the client demo-program (else a random one, printed)
  LANDSIDE_HTTP           where pages and API are served [127.0.0.1:8080]
  LANDSIDE_STOMP          where STOMP over TCP is served [127.0.0.1:61613]
  LANDSIDE_METRICS        where metrics are served [127.0.0.1:9464]
  LANDSIDE_ORIGINS        pages of which other origins may connect, such as http://127.0.0.1:9000, with blanks between [none]
  LANDSIDE_TOKEN_SECONDS  how long a token is good, from 30 to 3600: short ones show that nobody notices a renewal [600]
  LANDSIDE_DATA           the data directory; starting again goes on from the same data [./var/demo]

Only loopback addresses are accepted: the demo's password is no protection from a network.";

/// The longest password that the server looks at, in bytes.
const PASSWORD_BYTES_MAX: usize = 1024;

/// One address and the variable that changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Listen {
    pub(crate) variable: &'static str,
    pub(crate) address: SocketAddr,
}

/// Everything that can be set.
#[derive(Debug, PartialEq, Eq)]
pub struct Settings {
    pub(crate) password: Option<String>,
    pub(crate) http: Listen,
    pub(crate) stomp: Listen,
    pub(crate) metrics: Listen,
    /// As the server reads them, which checks them as well.
    pub(crate) origins: Vec<String>,
    /// Likewise.
    pub(crate) token_seconds: Option<u64>,
    pub(crate) data: PathBuf,
}

impl Settings {
    /// Reads the settings from `environment`; a variable that is empty counts as not set.
    ///
    /// # Errors
    /// One sentence that names the variable and what it takes.
    pub fn from_environment(
        environment: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, LaunchError> {
        let environment = |name: &str| environment(name).filter(|value| !value.is_empty());
        let text = |name: &'static str| match environment(name).map(OsString::into_string) {
            None => Ok(None),
            Some(Ok(text)) => Ok(Some(text)),
            Some(Err(_)) => Err(LaunchError::configuration(format!(
                "{name} is not UTF-8 text"
            ))),
        };
        let listen = |variable: &'static str, port: u16| {
            let address = match text(variable)? {
                None => SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
                Some(text) => parse_address(variable, &text, port)?,
            };
            Ok::<_, LaunchError>(Listen { variable, address })
        };
        let settings = Self {
            password: text(PASSWORD)?,
            http: listen(HTTP, 8080)?,
            stomp: listen(STOMP, 61613)?,
            metrics: listen(METRICS, 9464)?,
            origins: text(ORIGINS)?
                .unwrap_or_default()
                .split_whitespace()
                .map(str::to_owned)
                .collect(),
            token_seconds: text(TOKEN_SECONDS)?
                .map(|seconds| parse_seconds(&seconds))
                .transpose()?,
            data: environment(DATA).map_or_else(|| PathBuf::from("var/demo"), PathBuf::from),
        };
        settings.check()?;
        Ok(settings)
    }

    /// The addresses, in the order in which people care about them.
    pub(crate) fn listens(&self) -> [Listen; 3] {
        [self.http, self.stomp, self.metrics]
    }

    fn check(&self) -> Result<(), LaunchError> {
        let listens = self.listens();
        for (n, one) in listens.iter().enumerate() {
            if let Some(other) = listens[..n]
                .iter()
                .find(|other| other.address == one.address)
            {
                return Err(LaunchError::configuration(format!(
                    "{} and {} are both {}: give them different ports",
                    other.variable, one.variable, one.address
                )));
            }
        }
        let unfit = |password: &String| {
            password.len() > PASSWORD_BYTES_MAX || password.chars().any(char::is_control)
        };
        if self.password.as_ref().is_some_and(unfit) {
            return Err(LaunchError::configuration(format!(
                "{PASSWORD} is unfit: use at most {PASSWORD_BYTES_MAX} bytes and no control characters"
            )));
        }
        Ok(())
    }
}

fn parse_seconds(text: &str) -> Result<u64, LaunchError> {
    text.parse().map_err(|_no_number| {
        LaunchError::configuration(format!(
            "{TOKEN_SECONDS} is {text:?}, which is no number: use seconds from 30 to 3600"
        ))
    })
}

fn parse_address(variable: &str, text: &str, port: u16) -> Result<SocketAddr, LaunchError> {
    let wrong = |why: &str| {
        LaunchError::configuration(format!(
            "{variable} is {text:?}, which {why}: use an address such as 127.0.0.1:{port}"
        ))
    };
    let numeric = text
        .strip_prefix("localhost:")
        .map_or_else(|| text.to_owned(), |port| format!("127.0.0.1:{port}"));
    let address: SocketAddr = numeric
        .parse()
        .map_err(|_invalid| wrong("is no address with a port"))?;
    if !address.ip().is_loopback() {
        return Err(wrong(
            "is not a loopback address, and the demo is for this machine only",
        ));
    }
    if address.port() == 0 {
        return Err(wrong("names no port"));
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Result<Settings, String> {
        Settings::from_environment(|name| {
            variables
                .iter()
                .find(|(variable, _)| *variable == name)
                .map(|(_, value)| OsString::from(value))
        })
        .map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_has_to_be_set() {
        let defaults = settings(&[]).unwrap();
        let addresses = defaults.listens().map(|listen| listen.address.to_string());
        assert_eq!(
            addresses,
            ["127.0.0.1:8080", "127.0.0.1:61613", "127.0.0.1:9464"]
        );
        assert_eq!(defaults.data, PathBuf::from("var/demo"));
        assert_eq!(defaults.password, None);
        assert!(defaults.origins.is_empty());
        assert_eq!(
            settings(&[(PASSWORD, ""), (HTTP, ""), (DATA, "")]).unwrap(),
            defaults
        );
    }

    #[test]
    fn everything_can_be_set() {
        let set = settings(&[
            (PASSWORD, "비밀 번호"),
            (HTTP, "localhost:9000"),
            (STOMP, "[::1]:9001"),
            (METRICS, "127.9.9.9:9002"),
            (ORIGINS, " http://a.example  https://b.example:81"),
            (TOKEN_SECONDS, "30"),
            (DATA, "/data"),
        ])
        .unwrap();
        let addresses = set.listens().map(|listen| listen.address.to_string());
        assert_eq!(
            addresses,
            ["127.0.0.1:9000", "[::1]:9001", "127.9.9.9:9002"]
        );
        assert_eq!(set.password.as_deref(), Some("비밀 번호"));
        assert_eq!(set.origins, ["http://a.example", "https://b.example:81"]);
        assert_eq!(set.token_seconds, Some(30));
        assert_eq!(set.data, PathBuf::from("/data"));
    }

    #[test]
    fn each_mistake_gets_one_sentence_with_its_variable() {
        let check = |variable: &str, value: &str, why: &str| {
            let sentence = settings(&[(variable, value)]).unwrap_err();
            assert!(sentence.contains(variable), "{sentence}");
            assert!(sentence.contains(why), "{sentence}");
            assert!(!sentence.contains('\n'), "{sentence}");
        };
        for variable in [HTTP, STOMP, METRICS] {
            check(variable, "0.0.0.0:8080", "not a loopback address");
            check(variable, "192.168.0.1:8080", "not a loopback address");
            check(variable, "[::]:8080", "not a loopback address");
            check(variable, "8080", "no address with a port");
            check(variable, "127.0.0.1", "no address with a port");
            check(variable, "localhost", "no address with a port");
            check(variable, "example.org:80", "no address with a port");
            check(variable, "127.0.0.1:0", "names no port");
        }
        check(
            HTTP,
            "127.0.0.1:61613",
            "LANDSIDE_STOMP are both 127.0.0.1:61613",
        );
        check(TOKEN_SECONDS, "soon", "from 30 to 3600");
        check(PASSWORD, "a\nb", "no control characters");
        check(PASSWORD, &"x".repeat(1025), "at most 1024 bytes");
    }

    #[test]
    fn a_password_that_is_no_text_is_named() {
        let error = Settings::from_environment(|name| {
            (name == PASSWORD).then(|| OsString::from_vec(vec![0xFF]))
        });
        let sentence = error.unwrap_err().to_string();
        assert_eq!(sentence, "LANDSIDE_DEMO_PASSWORD is not UTF-8 text");
    }
}
