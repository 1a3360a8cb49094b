//! `unruffled serve`: models behind HTTP, from the first byte read to the last request answered.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::task::JoinSet;
use unruffled::engine::job::{JobQueue, MemoryJobs};
use unruffled::{
    Backends, DurableJobs, Engine, EngineOptions, Follow, ModelFolder, Repository, TensorHandle, memory,
    sample,
};
use unruffled_server::{Server, ServerOptions, Tracing};

use crate::doors::Doors;
use crate::exit::{Exit, Failure};
use crate::greeting::{Example, worth};
use crate::otlp::Otlp;
use crate::reload::Reload;
use crate::settings::{Address, Amount, Layers, LogFormat, OtherAddress, Settings};
use crate::shelf::Shelf;
use crate::signals::Signals;
use crate::terminal::{BAD, FAINT, GOOD, NAME, milliseconds, size};
use crate::{allocator, find, greeting, logging, runtimes, terminal};

/// Threads of the event loop. They only pass things on: the cores are for the models.
const LOOP_THREADS: usize = 2;

/// Where clients of gRPC look first.
const GRPC_PORT: u16 = 8001;

/// How long models have to stop once the server has given its last answer.
const STOP_GRACE: Duration = Duration::from_secs(2);

pub(crate) fn run(layers: Layers) -> Result<(), Failure> {
    let running = layers.resolve()?;
    let settings = running.settings.clone();
    let log = logging::start(settings.log(), settings.log_format.unwrap_or(LogFormat::Text))?;
    let backends = Backends::new(&runtimes::runtimes(&runtimes::named(&running)));
    if settings.memory.is_some() {
        allocator::give_back();
    }
    let doors = Doors(&settings).open()?;
    let otlp = Otlp::of(&settings)?;
    let repository = models(&settings)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(LOOP_THREADS)
        .thread_name("event loop")
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Failed, format!("no event loop: {error}")))?;
    let reload = Reload { layers, running, doors, log, otlp: otlp.clone() };
    let outcome = runtime.block_on(serve(&settings, reload, &repository, &backends));
    // A model that cannot be stopped must not keep the program: what it computes is for nobody.
    runtime.shutdown_background();
    if let Some(otlp) = otlp {
        otlp.finish();
    }
    outcome
}

/// The models that the command line names, with its settings.
fn models(args: &Settings) -> Result<Repository, Failure> {
    if args.file.is_none() && args.models.is_none() {
        anstream::eprintln!("No models are named: serving the one that is built in, {NAME}digits{NAME:#}.");
        let hint = if Path::new("models").is_dir() {
            "unruffled serve --models models"
        } else {
            "unruffled serve --models DIR"
        };
        anstream::eprintln!("{FAINT}For models of your own: {hint}, or unruffled serve FILE.onnx{FAINT:#}");
    }
    let sources = Sources::of(args);
    if let Some(folder) = &sources.models {
        find::warn(&Repository::open(folder).map_err(Failure::loading)?);
    }
    let repository = sources.open().map_err(Failure::loading)?;
    find::warn(&repository);
    if args.file.is_some()
        && let Some(warning) = repository.models().iter().find_map(ModelFolder::without_effect)
    {
        terminal::warn(&warning.to_string());
    }
    Ok(repository)
}

/// Where the models of the command line are, to be looked at again.
#[derive(Clone)]
struct Sources {
    file: Option<PathBuf>,
    models: Option<PathBuf>,
    queue: Option<NonZeroUsize>,
}

impl Sources {
    fn of(args: &Settings) -> Self {
        Self { file: args.file.clone(), models: args.models.clone(), queue: args.queue }
    }

    fn open(&self) -> Result<Repository, unruffled::Error> {
        let mut models = Vec::new();
        if let Some(file) = &self.file {
            models.push(ModelFolder::open(file)?);
        }
        if let Some(folder) = &self.models {
            models.extend(Repository::open(folder)?.models().iter().cloned());
        }
        if self.file.is_none() && self.models.is_none() {
            models.push(sample::digits());
        }
        for model in &mut models {
            model.config.run.queue_items = self.queue.or(model.config.run.queue_items);
        }
        Ok(Repository::of(models))
    }
}

async fn serve(
    settings: &Settings,
    reload: Reload,
    repository: &Repository,
    backends: &Backends,
) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let engine = match &settings.memory {
        None => Engine::new(),
        Some(Amount(bytes)) => {
            Engine::with_options(EngineOptions::default().with_memory(memory::budget(*bytes)))
        }
    };
    let (limits, options) = settings.job_limits();
    let store: Arc<dyn JobQueue> = match &settings.data {
        Some(folder) => {
            Arc::new(DurableJobs::open(&folder.join("jobs"), limits).await.map_err(Failure::loading)?)
        }
        None => Arc::new(MemoryJobs::new(limits)),
    };
    engine.use_jobs(store, options).map_err(Failure::loading)?;
    let sources = Sources::of(settings);
    let root = sources.models.clone().or_else(|| Some(sources.file.as_ref()?.parent()?.to_owned()));
    let shelf = Shelf::new(&engine, backends, repository, root, move || sources.open());
    let doors = Doors(settings);
    let options = settings.limit(ServerOptions::default()).with_catalog(shelf);
    let mut options = doors.apply(&reload.doors, options).with_logging(Arc::new(reload.log.clone()));
    if let Some(otlp) = &reload.otlp {
        options = options.with_tracing(Arc::clone(otlp) as Arc<dyn Tracing>);
    }
    reload.on_hangup()?;
    let http = settings.http();
    let mut server = Server::bind(http, engine.clone(), options)
        .await
        .map_err(|error| unbindable("--http", http, &error))?;
    let address = server.local_addr().map_err(|error| unbindable("--http", http, &error))?;
    doors.warn(address);
    let url = url_of(address, doors.scheme());
    if let Some(Address(address)) = settings.health {
        let address = server.health_on(address).map_err(|error| unbindable("--health", address, &error))?;
        anstream::eprintln!("{FAINT}Health and metrics on {}, too{FAINT:#}", url_of(address, doors.scheme()));
    }
    listen_for_grpc(&mut server, settings).await?;
    // All names are taken before the first request can come, so that readiness never speaks of a part of them.
    let on_demand = settings.memory.is_some();
    if on_demand {
        register(&engine, repository, backends)?;
    }
    let loads = start_loads(&engine, repository, backends, on_demand)?;
    let width = repository.models().iter().map(|model| model.name.chars().count()).max().unwrap_or(0);
    let (stop, stopped) = oneshot::channel();
    let mut running = tokio::spawn(server.run(async {
        // A sender that has gone ends it as well.
        let _ = stopped.await;
    }));

    let loaded = match loads.is_empty() {
        true => Vec::new(),
        false => tokio::select! {
            loaded = report_loads(loads, width) => loaded?,
            () = signals.next() => return Ok(()),
        },
    };
    if on_demand {
        terminal::print(&greeting::on_demand(&url, &doors.curl(), repository.models().len()));
    } else {
        for (folder, _) in &loaded {
            backends.register_others(&engine, folder).map_err(Failure::loading)?;
        }
        let handles: Vec<_> = loaded.into_iter().map(|(_, handle)| handle).collect();
        terminal::print(&greeting(&url, &doors.curl(), &handles));
    }
    let _follows = follow(&engine, repository, backends);

    tokio::select! {
        () = signals.next() => {}
        ended = &mut running => {
            return Err(Failure::new(Exit::Failed, format!("the server ended by itself: {ended:?}")));
        }
    }
    let grace = milliseconds(settings.grace());
    anstream::eprintln!("Ending: requests in flight have {grace}. {FAINT}Once more to end at once{FAINT:#}");
    let _ = stop.send(());
    let end = async {
        let served = running.await;
        (served, engine.shutdown(STOP_GRACE).await)
    };
    tokio::select! {
        (served, drained) = end => {
            let cut = served.map_or(0, |served| served.cut);
            if cut > 0 {
                terminal::warn(&format!("{cut} connections were cut: they had not ended in time"));
            }
            for model in drained.still_running {
                terminal::warn(&format!("{model} was still running and could not be stopped"));
            }
            anstream::eprintln!("Ended.");
            Ok(())
        }
        () = signals.next() => Err(Failure::new(Exit::Interrupted, "ended at once, as asked")),
    }
}

/// Puts all models under their names: each is loaded when it is first asked for. Pipelines and chains apart, which only ask them.
fn register(engine: &Engine, repository: &Repository, backends: &Backends) -> Result<(), Failure> {
    for folder in repository.models().iter().filter(|folder| !folder.asks_others()) {
        backends.register(engine, folder).map_err(Failure::loading)?;
    }
    Ok(())
}

/// Watches the models whose settings say so, for as long as what is given back is kept.
fn follow(engine: &Engine, repository: &Repository, backends: &Backends) -> Vec<Follow> {
    let watched = repository.models().iter().filter(|model| model.config.run.reload);
    let follow = |model: &ModelFolder| {
        let followed = backends.follow(engine, model);
        followed.map_err(|error| terminal::warn(&format!("{} is not watched: {error}", model.name))).ok()
    };
    watched.filter_map(follow).collect()
}

/// A model, and how its load went.
type Loaded = (ModelFolder, Duration, Result<TensorHandle, unruffled::engine::Error>);

/// Starts all loads, or those of models that ask others if all others wait to be asked for; each goes on by itself, on a thread of its own.
fn start_loads(
    engine: &Engine,
    repository: &Repository,
    backends: &Backends,
    only_askers: bool,
) -> Result<JoinSet<Loaded>, Failure> {
    let mut loads = JoinSet::new();
    // Who asks others finds their names taken, and waits for them.
    let wanted = |folder: &&ModelFolder| !only_askers || folder.asks_others();
    for folder in repository.in_load_order().into_iter().filter(wanted) {
        let begin = Instant::now();
        let loading = backends.load(engine, folder).map_err(Failure::loading)?;
        let folder = folder.clone();
        loads.spawn(async move {
            let outcome = loading.await;
            (folder, begin.elapsed(), outcome)
        });
    }
    Ok(loads)
}

/// Says how each load went, as it ends. Fails if none went well.
async fn report_loads(
    mut loads: JoinSet<Loaded>,
    width: usize,
) -> Result<Vec<(ModelFolder, TensorHandle)>, Failure> {
    let mut loaded = Vec::new();
    let mut failed = 0;
    while let Some(joined) = loads.join_next().await {
        let (folder, took, outcome) = match joined {
            Ok(loaded) => loaded,
            Err(error) => {
                failed += 1;
                terminal::warn(&format!("a load came to no end: {error}"));
                continue;
            }
        };
        match outcome {
            Ok(handle) => {
                let bytes =
                    folder.file().and_then(|file| std::fs::metadata(file).ok()).map(|file| file.len());
                let bytes = bytes.map_or("built in".into(), size);
                let info = handle.info();
                let backend = &info.backend;
                anstream::eprintln!(
                    "  {GOOD}ready{GOOD:#}   {:width$}  {FAINT}{bytes}, {backend}, {}{FAINT:#}",
                    folder.name,
                    milliseconds(took)
                );
                loaded.push((folder, handle));
            }
            Err(error) => {
                failed += 1;
                anstream::eprintln!("  {BAD}failed{BAD:#}  {:width$}  {}", folder.name, error.message());
            }
        }
    }
    if loaded.is_empty() {
        return Err(Failure::new(Exit::Model, "no model could be loaded")
            .hint("unruffled inspect FILE says more about a model"));
    }
    if failed > 0 {
        terminal::warn("what failed is not served; mend it and start again");
    }
    loaded.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
    Ok(loaded)
}

/// Where clients find it: an address for everybody is none that a client could connect to.
fn url_of(address: SocketAddr, scheme: &str) -> String {
    match address {
        _ if !address.ip().is_unspecified() => format!("{scheme}://{address}"),
        _ => format!("{scheme}://localhost:{}", address.port()),
    }
}

fn greeting(url: &str, curl: &str, loaded: &[TensorHandle]) -> String {
    // The first of those whose example shows the most.
    let by_worth = loaded.iter().rev().max_by_key(|handle| worth(&handle.info().signature));
    let shown = by_worth.expect("one was loaded at least");
    Example::new(url, curl, shown.name(), &shown.info().signature).page(url, loaded.len())
}

/// Listens where clients of gRPC expect it. What was not asked for is no reason to fail.
async fn listen_for_grpc(server: &mut Server, settings: &Settings) -> Result<(), Failure> {
    let http = settings.http();
    let address = match settings.grpc {
        Some(OtherAddress(Some(address))) => address,
        Some(OtherAddress(None)) => return Ok(()),
        None if matches!(http.port(), 0 | GRPC_PORT) => return Ok(()),
        None => SocketAddr::new(http.ip(), GRPC_PORT),
    };
    match server.also_on(address).await {
        Ok(address) => anstream::eprintln!("{FAINT}Listening for gRPC on {address}, too{FAINT:#}"),
        Err(error) if settings.grpc.is_some() => return Err(unbindable("--grpc", address, &error)),
        Err(error) => terminal::warn(&format!(
            "{address} cannot be listened on ({error}): gRPC is served on {} alone; --grpc {}:0 takes a port that is free",
            http,
            address.ip()
        )),
    }
    Ok(())
}

fn unbindable(option: &str, address: SocketAddr, error: &std::io::Error) -> Failure {
    let hint = match error.kind() {
        std::io::ErrorKind::AddrInUse => format!("{option} {}:0 for a port that is free", address.ip()),
        std::io::ErrorKind::PermissionDenied => {
            format!("{option} {}:8000: ports below 1024 are for root", address.ip())
        }
        _ => format!("{option} 127.0.0.1:8000"),
    };
    let why = match error.kind() {
        std::io::ErrorKind::AddrInUse => "another program listens there".to_owned(),
        _ => error.to_string(),
    };
    Failure::new(Exit::Network, format!("cannot listen on {address}: {why}")).hint(hint)
}
