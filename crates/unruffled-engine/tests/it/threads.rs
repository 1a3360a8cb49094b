//! Instances live on named threads that give way to the application's.

use unruffled_engine::Engine;

#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_instance_has_a_name_and_a_lower_priority() {
    let engine = Engine::new();
    let whoami = engine
        .wrap(|()| {
            let name = std::fs::read_to_string("/proc/thread-self/comm")
                .unwrap()
                .trim()
                .to_owned();
            let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
            // Field 19, counted from the state that follows the command.
            let nice = stat
                .rsplit_once(')')
                .unwrap()
                .1
                .split_whitespace()
                .nth(16)
                .unwrap()
                .parse::<i32>()
                .unwrap();
            (name, nice)
        })
        .name("text-classifier")
        .build()
        .unwrap();
    let (name, nice) = whoami.infer(()).await.unwrap().output;
    assert_eq!(
        name, "xt-classifier/0",
        "the kernel keeps 15 bytes: the end, which tells instances apart"
    );
    let own = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
    let own = own
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .nth(16)
        .unwrap()
        .parse::<i32>()
        .unwrap();
    assert!(nice > own || own >= 5, "nice {nice} beside the caller's {own}");
}
