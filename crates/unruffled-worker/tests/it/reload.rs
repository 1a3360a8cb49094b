//! Models whose files change while they run.

use std::path::Path;

use unruffled_model::{Tensor, Tensors};

use crate::python::{Instance, load_file, options, run};

fn write(folder: &Path, name: &str, text: &str) {
    // As editors do it: nobody ever sees half of it.
    let draft = folder.join("draft");
    std::fs::write(&draft, text).unwrap();
    std::fs::rename(draft, folder.join(name)).unwrap();
}

fn model(body: &str) -> String {
    format!(
        "from unruffled_worker import Tensor\nimport factor\n\nclass Model:\n    def predict(self, x: Tensor['f64']) -> \
         Tensor['f64']:\n        return {body}\n"
    )
}

fn ask(instance: &mut Instance<'_>) -> f64 {
    let answer = run(instance, Tensors::new().with("x", Tensor::scalar(1.0_f64))).unwrap();
    answer.get("output").unwrap().elements::<f64>().unwrap()[0]
}

/// Asks until the answer is another; a change that never takes effect ends with the runner's patience.
fn ask_until(instance: &mut Instance<'_>, before: f64) -> f64 {
    loop {
        let answer = ask(instance);
        if answer != before {
            return answer;
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_change_takes_effect_without_a_run_being_lost() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, "factor.py", "FACTOR = 2.0");
    write(folder, "model.py", &model("x * factor.FACTOR"));
    let model_file = folder.join("model.py");
    let loaded = load_file(&model_file, options().with_reload(true)).unwrap();
    let serve = &mut |instance: &mut Instance<'_>| {
        assert_eq!(ask(instance), 2.0);
        write(folder, "factor.py", "FACTOR = 3.0");
        assert_eq!(ask_until(instance, 2.0), 3.0);
        // What cannot be loaded, or is another model, changes nothing.
        write(folder, "factor.py", "FACTOR = = 4.0");
        write(folder, "model.py", &model("x * factor.FACTOR + 0.5"));
        for _ in 0..50 {
            assert_eq!(ask(instance), 3.0);
        }
        write(folder, "factor.py", "FACTOR = 5.0");
        assert_eq!(ask_until(instance, 3.0), 5.5);
    };
    loaded.with_instance(serve).unwrap();
}

#[test]
fn unasked_a_change_waits_for_the_next_load() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "factor.py", "FACTOR = 2.0");
    write(folder.path(), "model.py", &model("x * factor.FACTOR"));
    let file = folder.path().join("model.py");
    let load = || load_file(&file, options().with_spare(unruffled_worker::Spare::None)).unwrap();
    let before = load();
    let serve = &mut |instance: &mut Instance<'_>| {
        write(folder.path(), "factor.py", "FACTOR = 3.0");
        assert_eq!(ask(instance), 2.0);
    };
    before.with_instance(serve).unwrap();
    let serve = &mut |instance: &mut Instance<'_>| assert_eq!(ask(instance), 3.0);
    load().with_instance(serve).unwrap();
}
