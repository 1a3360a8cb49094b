//! What clients of OpenAI ask for: embeddings, and which models there are.

mod input;
mod output;

mod embeddings;
mod models;

use crate::endpoint::{EndPoint, get, post};

/// The end points of this module.
pub(crate) fn end_points() -> Vec<EndPoint> {
    let group = "OpenAI";
    vec![
        post("/v1/embeddings", embeddings::embeddings)
            .says(group, "Texts, or tokens, to rows of numbers.")
            .asks_a_model()
            .takes("EmbeddingsRequest")
            .gives("The embeddings, in the order of the input", "Embeddings")
            .of_openai(),
        get("/v1/models", models::list)
            .says(group, "The models that there are.")
            .gives("They", "OpenAIModels")
            .of_openai(),
        get("/v1/models/{model}", models::model)
            .says(group, "One of them.")
            .gives("It", "OpenAIModel")
            .refuses(&[404])
            .of_openai(),
    ]
}
