//! What tools of gRPC ask every server: the standard health protocol, and reflection.

use std::time::Duration;

use axum::Router;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, stream};
use tokio::time::sleep;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_reflection::server::Builder;
use unruffled_protocol::grpc::{FILE_DESCRIPTOR_SET, SERVICE};

use crate::service::Service;

/// How often readiness is looked at for those who want to hear of changes.
const LOOK: Duration = Duration::from_millis(500);

/// The most bytes of a question.
const QUESTION_BYTES: usize = 16 << 10;

pub(super) fn routes(service: &Service) -> Router<Service> {
    let reflection = || {
        Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let known = "the descriptors are made by a program";
    let v1 = reflection().build_v1().expect(known).max_decoding_message_size(QUESTION_BYTES);
    let v1alpha = reflection().build_v1alpha().expect(known).max_decoding_message_size(QUESTION_BYTES);
    let health = HealthServer::new(Readiness(service.clone())).max_decoding_message_size(QUESTION_BYTES);
    Router::new()
        .route_service("/grpc.health.v1.Health/{call}", health)
        .route_service("/grpc.reflection.v1.ServerReflection/{call}", v1)
        .route_service("/grpc.reflection.v1alpha.ServerReflection/{call}", v1alpha)
}

/// Serving means ready: all models can answer.
struct Readiness(Service);

impl Readiness {
    fn status(&self, name: &str) -> ServingStatus {
        match name {
            "" | SERVICE if self.0.is_ready() => ServingStatus::Serving,
            "" | SERVICE => ServingStatus::NotServing,
            _ => ServingStatus::ServiceUnknown,
        }
    }
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl Health for Readiness {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let name = request.into_inner().service;
        match self.status(&name) {
            ServingStatus::ServiceUnknown => {
                let name: String = name.chars().take(80).collect();
                let message = format!(
                    "there is no service `{name}`; there is `{SERVICE}`, and all of it under an empty name"
                );
                Err(Status::not_found(message))
            }
            status => Ok(Response::new(answer(status))),
        }
    }

    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    /// Nobody tells when readiness changes: it is looked at.
    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let (readiness, name) = (Readiness(self.0.clone()), request.into_inner().service);
        let end = self.0.clone();
        let changes = stream::unfold(None, move |told| {
            let (service, now) = (readiness.0.clone(), readiness.status(&name));
            let (readiness, name) = (Readiness(service), name.clone());
            async move {
                let mut now = now;
                while told == Some(now) {
                    sleep(LOOK).await;
                    now = readiness.status(&name);
                }
                Some((Ok(answer(now)), Some(now)))
            }
        });
        let changes = changes
            .take_until(async move { end.draining().await })
            .chain(stream::once(async { Ok(answer(ServingStatus::NotServing)) }));
        Ok(Response::new(changes.boxed()))
    }
}
