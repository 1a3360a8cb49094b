//! What kinds there are, and what is said about those that are not.

use unruffled_steps::{NoFiles, Settings, Step, StepErrorKind, build};

#[test]
fn every_kind_of_this_build_can_be_made_or_says_what_it_needs() {
    for kind in Step::kinds() {
        match Step::parse(kind, &Settings::new()) {
            Ok(step) => assert_eq!(step.kind(), kind),
            Err(error) if error.kind() == StepErrorKind::UnknownKind => {
                assert!(error.message().contains("build with the feature"), "{error}");
            }
            Err(error) => assert_eq!(error.to_string(), "`labels`: is missing; add labels = \"labels.txt\""),
        }
    }
}

#[test]
fn mistakes_name_the_key_and_what_there_is() {
    let refused = |kind: &str, settings: Settings| build(kind, &settings, &NoFiles).err().unwrap();
    let unknown = refused("tokenise", Settings::new());
    assert_eq!(unknown.kind(), StepErrorKind::UnknownKind);
    assert!(unknown.message().starts_with("unknown kind \"tokenise\"; expected one of tokenize, pool,"));
    let key = refused("top-k", Settings::new().with("k", 3.0));
    assert_eq!(key.to_string(), "`k`: there is no such setting; the step has `top`, `labels`");
    let file = refused("ctc-text", Settings::new().with("labels", "labels.txt"));
    assert_eq!(file.kind(), StepErrorKind::InvalidFile);
    assert_eq!(file.to_string(), "`labels`: cannot read \"labels.txt\": there are no files here");
    let silence = Settings::new().with("threshold", 0.5).with("silence_threshold", 0.6);
    assert_eq!(
        refused("speech-segments", silence).to_string(),
        "`silence_threshold`: is 0.6; expected at most `threshold`, 0.5"
    );
}
