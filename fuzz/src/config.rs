//! Settings: of models, of pipelines, of keys. The first two come with models of strangers.

use std::path::{Component, Path};

use bytes::Bytes;
use unruffled::{ModelConfig, ModelFolder, Repository};
use unruffled_server::Keys;

use crate::head::Head;
use crate::memory::within;

/// The most bytes for each byte of TOML: a table of one key takes some hundred.
const TIMES: u64 = 512;

/// What is told besides the text that is wrong: names of types and of kinds, a remedy.
const TOLD: usize = 2000;

/// Settings are refused with a line that there is, or read the same every time, and name no file but those beside them; models
/// that ask each other are put in order; what may be a key is not repeated.
pub fn config(data: &[u8]) {
    let (mut head, body) = Head::split(data);
    let (kind, signature) = (head.byte(), head.signature());
    let Ok(text) = std::str::from_utf8(body) else { return };
    match kind % 4 {
        0 => {
            let read = within(text.len(), TIMES, || model(text));
            if let Some(config) = read {
                same(&config, &model(text));
                // Whether it fits is one question, that the answer is short another.
                for signature in [signature, config.declared().unwrap_or_default()] {
                    if let Err(error) = config.fit(&signature) {
                        assert!(error.to_string().len() <= 4 * text.len() + TOLD, "{error}");
                    }
                }
                config.defaults();
            }
        }
        1 => {
            let read = within(text.len(), TIMES, || pipeline(text));
            if let Some(config) = read {
                same(&config, &pipeline(text));
                let steps = config.pipeline.as_ref().expect("it is a pipeline").steps.len();
                assert!(config.pipeline.as_ref().is_some_and(|pipeline| pipeline.models().len() <= steps));
            }
        }
        2 => repository(text),
        _ => keys(text),
    }
}

/// As texts, since NaN does not equal itself.
#[track_caller]
fn same(config: &ModelConfig, again: &Option<ModelConfig>) {
    assert_eq!(format!("{again:?}"), format!("Some({config:?})"));
}

/// Where the settings are said to be.
const FILE: &str = "models/m/model.toml";

fn model(text: &str) -> Option<ModelConfig> {
    let beside = |name: &str| {
        let mut parts = Path::new(name).components();
        let is_beside = matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None));
        assert!(is_beside && !name.contains('\\'), "`{name}` is not beside the settings");
        match name {
            "labels.txt" => Ok("zero\none\ntwo\n".to_owned()),
            "empty.txt" => Ok(String::new()),
            _ => Err(std::io::ErrorKind::NotFound.into()),
        }
    };
    taken(text, ModelConfig::parse(text, FILE.as_ref(), &beside))
}

fn pipeline(text: &str) -> Option<ModelConfig> {
    taken(text, ModelConfig::parse_pipeline(text, FILE.as_ref()))
}

fn taken(text: &str, read: Result<ModelConfig, unruffled::Error>) -> Option<ModelConfig> {
    match read {
        Ok(config) => Some(config),
        Err(error) => {
            assert_eq!(error.file(), Some(Path::new(FILE)), "{error}");
            let lines = 1 + text.matches('\n').count();
            assert!(error.line().is_none_or(|line| (1..=lines).contains(&line)), "{error}");
            assert!(error.to_string().len() <= 4 * text.len() + TOLD, "{error}");
            None
        }
    }
}

/// A repository of models of which each begins with a line `# NAME`.
fn repository(text: &str) {
    let models = text.split("\n# ").filter_map(|part| {
        let (name, settings) = part.split_once('\n').unwrap_or((part, ""));
        let read = |settings| model(settings).or_else(|| pipeline(settings));
        ModelFolder::in_memory(name.trim_start_matches("# "), Bytes::new(), read(settings)?).ok()
    });
    let repository = Repository::of(models.take(16));
    let names: Vec<_> = repository.models().iter().map(|model| model.name.clone()).collect();
    assert!(names.is_sorted_by(|one, other| one < other), "names that are not sorted, or twice: {names:?}");
    let order = repository.in_load_order();
    assert_eq!(order.len(), names.len());
    for (at, model) in order.iter().enumerate() {
        assert!(order[..at].iter().all(|earlier| earlier.name != model.name));
        let Some(fallback) = &model.config.fallback else { continue };
        for asked in &fallback.chain {
            let place = order.iter().position(|other| *other.name == **asked);
            let place = place.expect("chains that ask who is not there are left out");
            // Pipelines may ask in circles, and are told so when they are loaded.
            let are_chains = order.iter().all(|model| model.pipeline_config().is_none());
            assert!(place < at || !are_chains, "{} comes before {asked}", model.name);
        }
    }
}

fn keys(text: &str) {
    let error = match within(text.len(), TIMES, || Keys::from_toml(text)) {
        Ok(keys) => return assert!((1..=1024).contains(&keys.count())),
        Err(error) => error.to_string(),
    };
    assert!(error.len() <= 4 * text.len() + TOLD, "{error}");
    // What stands there instead of a hash may be the key itself.
    let Ok(file) = text.parse::<toml::Table>() else { return };
    let keys = file.get("key").and_then(toml::Value::as_array);
    for key in keys.into_iter().flatten() {
        let Some(hash) = key.get("hash").and_then(toml::Value::as_str) else { continue };
        let is_elsewhere = text.matches(hash).count() > 1 || hash.len() < 12;
        assert!(is_elsewhere || !error.contains(hash), "`{error}` repeats `{hash}`");
    }
}
