//! The table of operators: what each name is built by.

use super::arithmetic::{
    Arithmetic, Comparison, Logic, binary, choose, comparison, function, logic, not, unary, variadic,
};
use super::kernel::{Built, Site};
use super::reduce::{Reduction, arg, reduction, softmax};
use super::{cast, encode, ensemble, features, linear, matrix, rearrange, scale, svm, zipmap};

/// The domain of classical models.
pub(super) const CLASSICAL: &str = "ai.onnx.ml";

/// The builder of an operator, or nothing if it is not known here. The standard domain is the empty name.
pub(super) fn find(domain: &str, operator: &str) -> Option<Builder> {
    match domain {
        "" => standard(operator),
        CLASSICAL => classical(operator),
        _ => None,
    }
}

/// Builds an operator, or says why not in words that go on after its name.
pub(super) type Builder = Box<dyn Fn(&Site<'_>) -> Result<Built, String>>;

fn classical(operator: &str) -> Option<Builder> {
    let builder: fn(&Site<'_>) -> Result<Built, String> = match operator {
        "ArrayFeatureExtractor" => features::extractor,
        "Binarizer" => scale::binarizer,
        "FeatureVectorizer" => features::vectorizer,
        "Imputer" => scale::imputer,
        "LabelEncoder" => encode::label,
        "LinearClassifier" => linear::classifier,
        "LinearRegressor" => linear::regressor,
        "Normalizer" => scale::normalizer,
        "OneHotEncoder" => encode::one_hot,
        "SVMClassifier" => svm::classifier,
        "SVMRegressor" => svm::regressor,
        "Scaler" => scale::scaler,
        "TreeEnsemble" => ensemble::ensemble,
        "TreeEnsembleClassifier" => ensemble::classifier,
        "TreeEnsembleRegressor" => ensemble::regressor,
        "ZipMap" => zipmap::zip_map,
        _ => return None,
    };
    Some(Box::new(builder))
}

fn standard(operator: &str) -> Option<Builder> {
    let builder: fn(&Site<'_>) -> Result<Built, String> = match operator {
        "Add" => |site| binary(site, Arithmetic::Add),
        "And" => |site| logic(site, Logic::And),
        "ArgMax" => |site| arg(site, 1.0),
        "ArgMin" => |site| arg(site, -1.0),
        "Cast" => cast::cast,
        "Concat" => rearrange::concat,
        // These two are seen to where the plan is made: they need what only it knows.
        "Constant" | "Shape" => |_| Err("is not used as it should be".into()),
        "ConstantOfShape" => |_| Err("fills something else than the shape of a value".into()),
        "Div" => |site| binary(site, Arithmetic::Div),
        "Equal" => |site| comparison(site, Comparison::Equal),
        "Flatten" => rearrange::flatten,
        "Gather" => rearrange::gather,
        "Gemm" => matrix::gemm,
        "Greater" => |site| comparison(site, Comparison::Greater),
        "GreaterOrEqual" => |site| comparison(site, Comparison::GreaterOrEqual),
        "Identity" => rearrange::identity,
        "Less" => |site| comparison(site, Comparison::Less),
        "LessOrEqual" => |site| comparison(site, Comparison::LessOrEqual),
        "MatMul" => matrix::matmul,
        "Max" => |site| variadic(site, Arithmetic::Max),
        "Min" => |site| variadic(site, Arithmetic::Min),
        "Mul" => |site| binary(site, Arithmetic::Mul),
        "Not" => not,
        "Or" => |site| logic(site, Logic::Or),
        "Pow" => |site| binary(site, Arithmetic::Pow),
        "ReduceL1" => |site| reduction(site, Reduction::L1),
        "ReduceL2" => |site| reduction(site, Reduction::L2),
        "ReduceLogSumExp" => |site| reduction(site, Reduction::LogSumExp),
        "ReduceMax" => |site| reduction(site, Reduction::Max),
        "ReduceMean" => |site| reduction(site, Reduction::Mean),
        "ReduceMin" => |site| reduction(site, Reduction::Min),
        "ReduceProd" => |site| reduction(site, Reduction::Prod),
        "ReduceSum" => |site| reduction(site, Reduction::Sum),
        "ReduceSumSquare" => |site| reduction(site, Reduction::SumSquare),
        "Reshape" => rearrange::reshape,
        "Softmax" => softmax,
        "Squeeze" => rearrange::squeeze,
        "Sub" => |site| binary(site, Arithmetic::Sub),
        "Sum" => |site| variadic(site, Arithmetic::Add),
        "Transpose" => rearrange::transpose,
        "Unsqueeze" => rearrange::unsqueeze,
        "Where" => choose,
        "Xor" => |site| logic(site, Logic::Xor),
        name => {
            let function = function(name)?;
            return Some(Box::new(move |site| unary(site, function)));
        }
    };
    Some(Box::new(builder))
}
