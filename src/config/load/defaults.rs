//! What the surroundings of the program say in place of its own defaults: three variables, each
//! for one key, for container images. The file always wins, and the command line over both.

use std::net::SocketAddr;

use super::{Environment, Overrides};
use crate::config::{
    mistake::{Mark, Mistake, Path},
    raw::{Address, Raw, TimeSpan},
    text::{self, TextError},
};

/// The variables.
const LISTEN: &str = "TOLLGATE_LISTEN";
const ADMIN_LISTEN: &str = "TOLLGATE_ADMIN_LISTEN";
const DRAIN_DELAY: &str = "TOLLGATE_DRAIN_DELAY";

impl Overrides {
    /// With the addresses that a start without a file listens on: a variable stands in for what the
    /// command line leaves out. One that can't be read is left to `fill`, which says so.
    #[must_use]
    pub fn without_file(self, env: &dyn Environment) -> Self {
        let address = |variable: &str| -> Option<SocketAddr> {
            env.var(variable).and_then(|text| text::address(&text).ok())
        };
        Self {
            listen: self.listen.or_else(|| address(LISTEN)),
            admin_listen: self.admin_listen.or_else(|| address(ADMIN_LISTEN)),
            ..self
        }
    }
}

/// Fills in what the file left out and a variable says.
pub(super) fn fill(raw: &mut Raw, env: &dyn Environment) -> Vec<Mistake> {
    let mut reader = Reader {
        env,
        mistakes: Vec::new(),
    };
    if let Some(it) = reader.read(LISTEN, ["server", "listen"], text::address) {
        let server = raw.server.get_or_insert_default();
        server.listen.get_or_insert(Address(it));
    }
    if let Some(it) = reader.read(ADMIN_LISTEN, ["admin", "listen"], text::address) {
        let admin = raw.admin.get_or_insert_default();
        admin.listen.get_or_insert(Address(it));
    }
    let drain_delay = ["server", "drain_delay"];
    if let Some(it) = reader.read(DRAIN_DELAY, drain_delay, text::duration) {
        let server = raw.server.get_or_insert_default();
        server.drain_delay.get_or_insert(TimeSpan(it));
    }
    reader.mistakes
}

/// Reads variables, and keeps what is wrong with them.
struct Reader<'a> {
    env: &'a dyn Environment,
    mistakes: Vec<Mistake>,
}

impl Reader<'_> {
    /// The value of a variable that is set and not empty, in the form that its key has in the file.
    fn read<T>(
        &mut self,
        variable: &str,
        [section, key]: [&str; 2],
        read: fn(&str) -> Result<T, TextError>,
    ) -> Option<T> {
        let text = self.env.var(variable).filter(|text| !text.is_empty())?;
        match read(&text) {
            Ok(value) => Some(value),
            Err(error) => {
                let path = Path::root().key(section).key(key);
                let message = format!("the variable {variable}: {error}");
                let mistake = Mistake::new(Mark::default(), &path, message);
                self.mistakes.push(mistake);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::{
        catalog,
        config::{
            Checked,
            load::{Overrides, from_str, from_str_with},
        },
    };

    const MODEL: &str = "providers: { p: { base_url: 'http://127.0.0.1:1/v1' } }\n\
                         models: [{ name: m, backends: [{ provider: p, model: m, price: free }] }]\n\
                         keys: [{ id: k, key: a-key-of-twenty-characters }]\n";

    fn image(name: &str) -> Option<String> {
        let value = match name {
            "TOLLGATE_LISTEN" => "0.0.0.0:4100",
            "TOLLGATE_ADMIN_LISTEN" => "0.0.0.0:4101",
            "TOLLGATE_DRAIN_DELAY" => "5s",
            _ => return None,
        };
        Some(value.to_owned())
    }

    fn told(checked: &Checked) -> (String, String, Duration) {
        let (server, admin) = (&checked.config.server, &checked.config.admin);
        let listen = server.listen.to_string();
        (listen, admin.listen.to_string(), server.drain_delay)
    }

    fn want(listen: &str, admin: &str, seconds: u64) -> (String, String, Duration) {
        let delay = Duration::from_secs(seconds);
        (listen.to_owned(), admin.to_owned(), delay)
    }

    #[test]
    fn variables_give_what_the_file_leaves_out_and_nothing_else() {
        let read = |text: &str| from_str("t", text, &image, catalog::builtin()).unwrap();
        let file = format!("{MODEL}server: {{ drain_timeout: 9s }}\n");
        let checked = read(&file);
        assert_eq!(told(&checked), want("0.0.0.0:4100", "0.0.0.0:4101", 5));
        let timeout = checked.config.server.drain_timeout;
        assert_eq!(timeout, Duration::from_secs(9));
        let file = format!(
            "{MODEL}server: {{ listen: '[::]:80', drain_delay: 0 }}\nadmin: {{ listen: '[::]:81' }}\n"
        );
        assert_eq!(told(&read(&file)), want("[::]:80", "[::]:81", 0));
        let line = Overrides {
            listen: Some("127.0.0.1:9".parse().unwrap()),
            ..Overrides::default()
        };
        let checked = from_str_with("t", MODEL, &image, catalog::builtin(), line).unwrap();
        assert_eq!(told(&checked), want("127.0.0.1:9", "0.0.0.0:4101", 5));
    }

    #[test]
    fn a_start_without_a_file_listens_where_the_line_or_else_a_variable_says() {
        let line = Overrides {
            listen: Some("127.0.0.1:9".parse().unwrap()),
            ..Overrides::default()
        };
        let told = line.without_file(&image);
        assert_eq!(told.listen, line.listen);
        assert_eq!(told.admin_listen, Some("0.0.0.0:4101".parse().unwrap()));
        let wrong = |_: &str| Some("nowhere".to_owned());
        assert_eq!(Overrides::default().without_file(&wrong).listen, None);
    }

    #[test]
    fn without_variables_or_with_empty_ones_nothing_changes() {
        let plain = |_: &str| None;
        let empty = |_: &str| Some(String::new());
        let plain = from_str("t", MODEL, &plain, catalog::builtin()).unwrap();
        let empty = from_str("t", MODEL, &empty, catalog::builtin()).unwrap();
        assert_eq!(told(&plain), want("127.0.0.1:4100", "127.0.0.1:4101", 0));
        assert_eq!(told(&empty), told(&plain));
    }

    #[test]
    fn a_variable_that_cannot_be_read_is_a_mistake_that_names_it_and_not_its_value() {
        let wrong = |name: &str| (name == "TOLLGATE_DRAIN_DELAY").then(|| "soon".to_owned());
        let mistakes = from_str("t", MODEL, &wrong, catalog::builtin()).unwrap_err();
        let text = mistakes.to_string();
        assert!(text.contains("server.drain_delay: the variable TOLLGATE_DRAIN_DELAY"));
        assert!(!text.contains("soon"), "{text}");
    }
}
