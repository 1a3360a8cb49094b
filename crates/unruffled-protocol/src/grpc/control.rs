//! Configuration, statistics, the model repository and regions of shared memory as messages.

use std::collections::BTreeMap;

use serde_json::Value;

use super::generated as grpc;
use super::generated::model_config::SchedulingChoice;
use super::generated::model_repository_parameter::ParameterChoice;
use super::generated::repository_index_response::ModelIndex;
use super::generated::system_shared_memory_status_response::RegionStatus;
use crate::configuration::{ModelConfiguration, TensorConfiguration};
use crate::error::{ProtocolError, ProtocolErrorKind};
use crate::region::Region;
use crate::repository::{ControlRequest, IndexEntry, IndexState};
use crate::statistics::{BatchStatistics, InferStatistics, ModelStatistics, StatisticDuration, Statistics};

impl From<ModelConfiguration> for grpc::ModelConfig {
    fn from(configuration: ModelConfiguration) -> Self {
        let input = |tensor: TensorConfiguration| {
            let data_type = data_type(&tensor);
            grpc::ModelInput { name: tensor.name, data_type, dims: tensor.dims, ..Default::default() }
        };
        let output = |tensor: TensorConfiguration| {
            let data_type = data_type(&tensor);
            grpc::ModelOutput { name: tensor.name, data_type, dims: tensor.dims, ..Default::default() }
        };
        let dynamic = configuration.dynamic_batching.map(|batching| {
            SchedulingChoice::DynamicBatching(grpc::ModelDynamicBatching {
                max_queue_delay_microseconds: batching.max_queue_delay_microseconds,
                ..Default::default()
            })
        });
        let sequence = configuration.sequence_batching.map(|batching| {
            let max_sequence_idle_microseconds = batching.max_sequence_idle_microseconds;
            SchedulingChoice::SequenceBatching(grpc::ModelSequenceBatching { max_sequence_idle_microseconds })
        });
        let group = |count: u64| {
            let kind = grpc::model_instance_group::Kind::Cpu.into();
            grpc::ModelInstanceGroup {
                count: i32::try_from(count).unwrap_or(i32::MAX),
                kind,
                ..Default::default()
            }
        };
        Self {
            name: configuration.name,
            platform: configuration.platform,
            backend: configuration.backend,
            max_batch_size: i32::try_from(configuration.max_batch_size).unwrap_or(i32::MAX),
            input: configuration.input.into_iter().map(input).collect(),
            output: configuration.output.into_iter().map(output).collect(),
            instance_group: configuration.instance_group.iter().map(|one| group(one.count)).collect(),
            scheduling_choice: sequence.or(dynamic),
            ..Self::default()
        }
    }
}

fn data_type(tensor: &TensorConfiguration) -> i32 {
    grpc::DataType::from_str_name(tensor.data_type).unwrap_or_default().into()
}

impl From<StatisticDuration> for grpc::StatisticDuration {
    fn from(StatisticDuration { count, ns }: StatisticDuration) -> Self {
        Self { count, ns }
    }
}

impl From<InferStatistics> for grpc::InferStatistics {
    fn from(all: InferStatistics) -> Self {
        Self {
            success: Some(all.success.into()),
            fail: Some(all.fail.into()),
            queue: Some(all.queue.into()),
            compute_input: Some(all.compute_input.into()),
            compute_infer: Some(all.compute_infer.into()),
            compute_output: Some(all.compute_output.into()),
            cache_hit: Some(all.cache_hit.into()),
            cache_miss: Some(all.cache_miss.into()),
        }
    }
}

impl From<BatchStatistics> for grpc::InferBatchStatistics {
    fn from(all: BatchStatistics) -> Self {
        Self {
            batch_size: all.batch_size,
            compute_input: Some(all.compute_input.into()),
            compute_infer: Some(all.compute_infer.into()),
            compute_output: Some(all.compute_output.into()),
        }
    }
}

impl From<ModelStatistics> for grpc::ModelStatistics {
    fn from(all: ModelStatistics) -> Self {
        let memory = all.memory_usage.into_iter();
        let memory =
            memory.map(|one| grpc::MemoryUsage { r#type: one.kind, id: one.id, byte_size: one.byte_size });
        Self {
            name: all.name,
            version: all.version,
            last_inference: all.last_inference,
            inference_count: all.inference_count,
            execution_count: all.execution_count,
            inference_stats: Some(all.inference_stats.into()),
            batch_stats: all.batch_stats.into_iter().map(Into::into).collect(),
            memory_usage: memory.collect(),
            response_stats: BTreeMap::new(),
        }
    }
}

impl From<Statistics> for grpc::ModelStatisticsResponse {
    fn from(all: Statistics) -> Self {
        Self { model_stats: all.model_stats.into_iter().map(Into::into).collect() }
    }
}

impl From<Vec<IndexEntry>> for grpc::RepositoryIndexResponse {
    fn from(entries: Vec<IndexEntry>) -> Self {
        let state = |state| match state {
            IndexState::Ready => "READY",
            IndexState::Unavailable => "UNAVAILABLE",
            IndexState::Loading => "LOADING",
            IndexState::Unloading => "UNLOADING",
        };
        let model = |entry: IndexEntry| ModelIndex {
            name: entry.name,
            version: entry.version.unwrap_or_default(),
            state: entry.state.map(state).unwrap_or_default().to_owned(),
            reason: entry.reason.unwrap_or_default(),
        };
        Self { models: entries.into_iter().map(model).collect() }
    }
}

impl ControlRequest {
    /// Reads the parameters of a load or an unload. The contents of files are not kept: only that they are there is said.
    pub fn from_grpc(parameters: BTreeMap<String, grpc::ModelRepositoryParameter>) -> Self {
        let value = |parameter: grpc::ModelRepositoryParameter| match parameter.parameter_choice {
            Some(ParameterChoice::BoolParam(value)) => value.into(),
            Some(ParameterChoice::Int64Param(value)) => value.into(),
            Some(ParameterChoice::StringParam(value)) => value.into(),
            Some(ParameterChoice::BytesParam(_)) | None => Value::Null,
        };
        Self {
            parameters: parameters.into_iter().map(|(name, parameter)| (name, value(parameter))).collect(),
        }
    }
}

impl Region {
    /// Reads what a client registers.
    ///
    /// # Errors
    ///
    /// `InvalidParameter` if it is larger than memory can be.
    pub fn from_grpc(message: grpc::SystemSharedMemoryRegisterRequest) -> Result<Self, ProtocolError> {
        let grpc::SystemSharedMemoryRegisterRequest { name, key, offset, byte_size } = message;
        let size = |bytes: u64| {
            usize::try_from(bytes).map_err(|_| {
                let message = format!("{bytes} bytes are beyond what memory can hold");
                ProtocolError::new(ProtocolErrorKind::InvalidParameter, message)
            })
        };
        Ok(Self { name, key, offset: size(offset)?, byte_size: size(byte_size)? })
    }
}

impl From<Vec<Region>> for grpc::SystemSharedMemoryStatusResponse {
    fn from(regions: Vec<Region>) -> Self {
        let region = |Region { name, key, offset, byte_size }| {
            let (offset, byte_size) = (offset as u64, byte_size as u64);
            (name.clone(), RegionStatus { name, key, offset, byte_size })
        };
        Self { regions: regions.into_iter().map(region).collect() }
    }
}
