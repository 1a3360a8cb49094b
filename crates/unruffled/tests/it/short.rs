//! The short way of everything: what a program writes on its first day.

use futures_util::{StreamExt as _, stream};
use unruffled::Priority::Interactive;
use unruffled::{DurationExt as _, Engine, Load as _, StreamOptions, Tensors, sample};

fn expensive_sync_call(text: &str) -> usize {
    text.len()
}

#[tokio::test]
async fn each_takes_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("digits");
    std::fs::create_dir(&home).unwrap();
    let unruffled::ModelSource::Memory(bytes) = sample::digits().source else { panic!("it is built in") };
    std::fs::write(home.join("model.onnx"), bytes).unwrap();
    let inputs = sample::seven();

    let engine = Engine::new();
    let digits = engine.load(&home).await.unwrap();
    let out = digits.infer(inputs.clone()).timeout(10.secs()).priority(Interactive).await.unwrap();
    assert_eq!(out.get("label").unwrap().elements::<i64>().unwrap(), [7]);

    let slow = engine.wrap(|text: String| expensive_sync_call(&text)).instances(2).build().unwrap();
    assert_eq!(*slow.infer("hello".to_owned()).await.unwrap(), 5);

    let requests = (0..3).map(|_| digits.infer(inputs.clone()));
    let report = engine.group(requests).run_all().await;
    assert_eq!(report.outcomes().len(), 3);

    let source = stream::iter(vec![inputs.clone(); 40]);
    let answers = digits.stream(source, StreamOptions::batch(32).every(50.ms()));
    assert_eq!(answers.filter(|item| std::future::ready(item.result.is_ok())).count().await, 40);

    let job = engine.jobs().submit("digits", inputs).await.unwrap();
    let result: Tensors = job.wait().await.unwrap();
    assert_eq!(result.get("label"), out.get("label"));
}
