//! The calls that ask about the server and its models: health, metadata, configuration, statistics, repository, reflection; and
//! those that are not served.

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use unruffled_engine::{Engine, PoolOptions};
use unruffled_model::Name;
use unruffled_protocol::grpc::model_config::SchedulingChoice;
use unruffled_protocol::grpc::{
    DataType, ModelConfigRequest, ModelConfigResponse, ModelMetadataRequest, ModelMetadataResponse,
    ModelReadyRequest, ModelReadyResponse, ModelStatisticsRequest, ModelStatisticsResponse,
    RepositoryIndexRequest, RepositoryIndexResponse, RepositoryModelLoadRequest, RepositoryModelLoadResponse,
    SERVICE, ServerLiveRequest, ServerLiveResponse, ServerMetadataRequest, ServerMetadataResponse,
    ServerReadyRequest, ServerReadyResponse, TraceSettingRequest, TraceSettingResponse,
};
use unruffled_server::ServerOptions;
use unruffled_testing::scripted::doubling;

use super::client::{Grpc, assert_status, one_row};
use crate::support::TestServer;

fn ready(client: &Grpc<'_>, name: &str, version: &str) -> Result<bool, Status> {
    let (name, version) = (name.to_owned(), version.to_owned());
    let answer: Response<ModelReadyResponse> =
        client.call("ModelReady", ModelReadyRequest { name, version })?;
    Ok(answer.into_inner().ready)
}

fn metadata(client: &Grpc<'_>, name: &str, version: &str) -> Result<ModelMetadataResponse, Status> {
    let (name, version) = (name.to_owned(), version.to_owned());
    let answer = client.call("ModelMetadata", ModelMetadataRequest { name, version })?;
    Ok(answer.into_inner())
}

#[test]
fn tells_what_it_is_and_what_the_models_take() {
    let versions: HashMap<Name, Name> = HashMap::from([("m".into(), "3".into())]);
    let options = ServerOptions::default().with_catalog(versions);
    let (server, _) = TestServer::with(doubling(), PoolOptions::default(), options);
    let client = Grpc::connect(&server);
    let live: ServerLiveResponse = client.call("ServerLive", ServerLiveRequest {}).unwrap().into_inner();
    let all_ready: ServerReadyResponse =
        client.call("ServerReady", ServerReadyRequest {}).unwrap().into_inner();
    assert!(live.live && all_ready.ready);
    let about: ServerMetadataResponse =
        client.call("ServerMetadata", ServerMetadataRequest {}).unwrap().into_inner();
    assert_eq!(about.name, "unruffled");
    assert!(about.extensions.iter().any(|name| name == "schedule_policy"));

    assert!(ready(&client, "m", "").unwrap());
    assert!(ready(&client, "m", "3").unwrap());
    let model = metadata(&client, "m", "").unwrap();
    assert_eq!((&*model.name, &*model.versions, &*model.platform), ("m", &["3".to_owned()][..], "rust"));
    let x = &model.inputs[0];
    assert_eq!((&*x.name, &*x.datatype, &*x.shape), ("x", "FP32", &[-1, 2][..]));
    assert_eq!(model.outputs[0].name, "y");

    for version in ["2", "99999999999999999999"] {
        assert_status(ready(&client, "m", version), Code::NotFound, &["`m`", version]);
        assert_status(metadata(&client, "m", version), Code::NotFound, &["`m`", version]);
    }
    assert_status(ready(&client, "m", "v3"), Code::InvalidArgument, &["`v3`", "decimal"]);
    assert_status(metadata(&client, "n", ""), Code::NotFound, &["`n`"]);
    assert_status(ready(&client, "n", ""), Code::NotFound, &["`n`"]);
}

#[test]
fn readiness_is_that_of_the_models() {
    let server = TestServer::start(Engine::new(), ServerOptions::default());
    let client = Grpc::connect(&server);
    let check = |service: &str| -> Result<i32, Status> {
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer: Response<HealthCheckResponse> = client.call("grpc.health.v1.Health/Check", request)?;
        Ok(answer.into_inner().status)
    };
    assert_eq!(check("").unwrap(), ServingStatus::Serving as i32);
    assert_eq!(check(SERVICE).unwrap(), ServingStatus::Serving as i32);
    assert_status(check("nobody"), Code::NotFound, &["`nobody`", SERVICE]);

    let model = doubling();
    model.script().fail_instances(usize::MAX);
    let handle = server.engine.wrap_model(model).name("m").register().unwrap();
    assert!(!handle.is_ready());
    assert_eq!(check("").unwrap(), ServingStatus::NotServing as i32);
    let all_ready: ServerReadyResponse =
        client.call("ServerReady", ServerReadyRequest {}).unwrap().into_inner();
    assert!(!all_ready.ready);
    assert!(!ready(&client, "m", "").unwrap());
}

#[test]
fn who_watches_health_hears_of_changes_and_of_the_end() {
    use tonic_health::pb::health_client::HealthClient;

    let (mut server, _) = TestServer::with_model(doubling());
    let stopper = server.stopper();
    {
        let mut watch = server.runtime.block_on(async {
            let address = format!("http://{}", server.address());
            let channel = tonic::transport::Endpoint::from_shared(address).unwrap().connect().await.unwrap();
            let mut client = HealthClient::new(channel);
            client.watch(HealthCheckRequest::default()).await.unwrap().into_inner()
        });
        let mut next = || server.runtime.block_on(watch.message()).unwrap().map(|answer| answer.status());
        assert_eq!(next(), Some(ServingStatus::Serving));
        server.runtime.block_on(server.engine.shutdown(Duration::ZERO));
        assert_eq!(next(), Some(ServingStatus::NotServing));
        stopper.send(()).unwrap();
        while let Some(status) = next() {
            assert_eq!(status, ServingStatus::NotServing);
        }
    }
    assert_eq!(server.served().cut, 0);
}

#[test]
fn reflection_names_the_services() {
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

    let (server, _) = TestServer::with_model(doubling());
    let answer = server.runtime.block_on(async {
        let channel =
            tonic::transport::Endpoint::from_shared(format!("http://{}", server.address())).unwrap();
        let mut client = ServerReflectionClient::new(channel.connect().await.unwrap());
        let request = tonic_reflection::pb::v1::ServerReflectionRequest {
            message_request: Some(MessageRequest::ListServices(String::new())),
            ..Default::default()
        };
        let request = futures_util::stream::iter([request]);
        let mut answers = client.server_reflection_info(request).await.unwrap().into_inner();
        answers.message().await.unwrap().unwrap()
    });
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("{answer:?}")
    };
    let names: Vec<_> = list.service.iter().map(|service| &*service.name).collect();
    for expected in [SERVICE, "grpc.health.v1.Health"] {
        assert!(names.contains(&expected), "{names:?}");
    }
}

#[test]
fn the_extensions_say_what_they_say_over_http() {
    let versions: HashMap<Name, Name> = HashMap::from([("m".into(), "3".into())]);
    let options = ServerOptions::default().with_catalog(versions);
    let (server, _) = TestServer::with(doubling(), PoolOptions::default(), options);
    let client = Grpc::connect(&server);
    for id in ["a", "b"] {
        assert!(client.infer(one_row(id)).is_ok());
    }
    let named = |name: &str| ModelConfigRequest { name: name.to_owned(), version: String::new() };
    let config: ModelConfigResponse = client.call("ModelConfig", named("m")).unwrap().into_inner();
    let config = config.config.unwrap();
    let json = server.client().get("/v2/models/m/config").json();
    assert_eq!(
        (&*config.name, config.max_batch_size as u64),
        ("m", json["max_batch_size"].as_u64().unwrap())
    );
    assert_eq!((&*config.input[0].name, &*config.input[0].dims), ("x", &[2][..]));
    assert_eq!(config.input[0].data_type(), DataType::TypeFp32);
    assert!(matches!(config.scheduling_choice, Some(SchedulingChoice::DynamicBatching(_))));
    let unknown: Result<Response<ModelConfigResponse>, _> = client.call("ModelConfig", named("n"));
    assert_status(unknown, Code::NotFound, &["`n`"]);

    let statistics = |name: &str| -> Result<ModelStatisticsResponse, Status> {
        let request = ModelStatisticsRequest { name: name.to_owned(), version: String::new() };
        Ok(client.call("ModelStatistics", request)?.into_inner())
    };
    for name in ["", "m"] {
        let all = statistics(name).unwrap().model_stats;
        assert_eq!((all.len(), &*all[0].name, &*all[0].version), (1, "m", "3"));
        assert_eq!((all[0].inference_count, all[0].execution_count), (2, 2));
        let times = all[0].inference_stats.unwrap();
        assert_eq!(times.success.unwrap().count, 2);
        assert!(times.success.unwrap().ns > 0);
        assert_eq!(all[0].batch_stats[0].batch_size, 1);
    }
    assert_status(statistics("n"), Code::NotFound, &["`n`"]);

    let index: RepositoryIndexResponse =
        client.call("RepositoryIndex", RepositoryIndexRequest::default()).unwrap().into_inner();
    let model = &index.models[0];
    assert_eq!((&*model.name, &*model.version, &*model.state), ("m", "3", "READY"));
    let load = |name: &str| {
        let request = RepositoryModelLoadRequest { model_name: name.to_owned(), ..Default::default() };
        let loaded: Result<Response<RepositoryModelLoadResponse>, _> =
            client.call("RepositoryModelLoad", request);
        loaded
    };
    // This server has no repository to load from: the error is that of HTTP, not of a call that is not served.
    let status = server.client().request("POST", "/v2/repository/models/m/load", "", "").error();
    assert_eq!(load("m").unwrap_err().message(), status);

    let settings: TraceSettingResponse =
        client.call("TraceSetting", TraceSettingRequest::default()).unwrap().into_inner();
    assert_eq!(settings.settings["trace_level"].value, ["OFF"]);
}

#[test]
fn what_is_not_served_is_told() {
    let (server, _) = TestServer::with_model(doubling());
    let client = Grpc::connect(&server);
    for call in ["NoSuchCall", "other.Service/Call"] {
        let outcome: Result<Response<ModelConfigResponse>, _> =
            client.call(call, ModelConfigRequest::default());
        assert_status(outcome, Code::Unimplemented, &[call, "not served"]);
    }
}
