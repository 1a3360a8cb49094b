//! What stands behind the `?` of a path: read strictly, so that a slip is told instead of passed over.

use std::str::FromStr;

use axum::http::Uri;

use crate::refusal::Refusal;

/// The settings of a query, by name.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the query of a path that knows these settings.
    pub(super) fn of(uri: &Uri, known: &[&str]) -> Result<Self, Refusal> {
        let mut settings: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
            let shown: String = name.chars().take(80).collect();
            if !known.contains(&&*name) {
                return Err(Refusal::bad_request(format!(
                    "`{shown}` is not known here; known are {}",
                    known.join(", ")
                )));
            }
            if settings.iter().any(|(earlier, _)| *earlier == name) {
                return Err(Refusal::bad_request(format!("`{shown}` is given twice")));
            }
            settings.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(settings))
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A setting that is read; `expected` says what it could be.
    pub(super) fn get<T: FromStr>(&self, name: &str, expected: &str) -> Result<Option<T>, Refusal> {
        let Some(text) = self.text(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| {
            let shown: String = text.chars().take(80).collect();
            Refusal::bad_request(format!("`{name}` is `{shown}`; expected {expected}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Uri;

    use super::Query;

    #[test]
    fn slips_are_told() {
        let of = |uri: &'static str| {
            Query::of(&Uri::from_static(uri), &["model", "max"])
                .map_err(|refusal| refusal.message().to_owned())
        };
        let query = of("/v1/jobs?model=a%2Fb&max=7").ok().unwrap();
        assert_eq!(query.text("model"), Some("a/b"));
        assert_eq!(query.get::<usize>("max", "a number").ok(), Some(Some(7)));
        assert!(query.get::<usize>("model", "a number").unwrap_err().message().contains("expected a number"));
        assert!(of("/v1/jobs").is_ok());
        assert_eq!(
            of("/v1/jobs?modell=a").err().as_deref(),
            Some("`modell` is not known here; known are model, max")
        );
        assert_eq!(of("/v1/jobs?max=1&max=2").err().as_deref(), Some("`max` is given twice"));
    }
}
