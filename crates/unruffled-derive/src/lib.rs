//! `#[derive(IntoTensors)]` and `#[derive(FromTensors)]`: a type with a field for each input or output of a model.
//!
//! Use them through the crate `unruffled`, which has the traits of the same names beside them and says what they do.

use proc_macro::TokenStream;
use proc_macro2::TokenStream as Code;
use quote::quote;
use syn::{Data, DeriveInput, Error, Field, Fields, LitStr, parse_macro_input};

/// Makes the fields of a struct the inputs of a model: each by its name, or by `#[tensor(name = "...")]`.
#[proc_macro_derive(IntoTensors, attributes(tensor))]
pub fn into_tensors(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    code(&input, |fields| {
        let inserted = fields.iter().map(|(field, name)| {
            let ident = &field.ident;
            quote!(::unruffled::model::field_into(&mut tensors, signature, #name, self.#ident)?;)
        });
        let (ident, (generics, arguments, bounds)) = (&input.ident, input.generics.split_for_impl());
        quote! {
            impl #generics ::unruffled::model::IntoTensors for #ident #arguments #bounds {
                fn into_tensors(
                    self,
                    signature: &::unruffled::model::Signature,
                ) -> ::core::result::Result<::unruffled::model::Tensors, ::unruffled::model::ModelError> {
                    let mut tensors = ::unruffled::model::Tensors::new();
                    #(#inserted)*
                    ::core::result::Result::Ok(tensors)
                }
            }
        }
    })
}

/// Reads the fields of a struct from the outputs of a model: each by its name, or by `#[tensor(name = "...")]`. Outputs without
/// a field are passed over.
#[proc_macro_derive(FromTensors, attributes(tensor))]
pub fn from_tensors(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    code(&input, |fields| {
        let read = fields.iter().map(|(field, name)| {
            let ident = &field.ident;
            quote!(#ident: ::unruffled::model::field_from(&mut tensors, #name)?)
        });
        let (ident, (generics, arguments, bounds)) = (&input.ident, input.generics.split_for_impl());
        quote! {
            impl #generics ::unruffled::model::FromTensors for #ident #arguments #bounds {
                fn from_tensors(
                    mut tensors: ::unruffled::model::Tensors,
                ) -> ::core::result::Result<Self, ::unruffled::model::ModelError> {
                    ::core::result::Result::Ok(Self { #(#read),* })
                }
            }
        }
    })
}

/// The code for the fields of a struct and the tensors that they are, or what is wrong with it.
fn code(input: &DeriveInput, write: impl FnOnce(&[(&Field, LitStr)]) -> Code) -> TokenStream {
    let named = fields(input).and_then(|fields| {
        fields.iter().map(|field| Ok((field, tensor(field)?))).collect::<Result<Vec<_>, Error>>()
    });
    named.map_or_else(Error::into_compile_error, |fields| write(&fields)).into()
}

fn fields(input: &DeriveInput) -> Result<&Fields, Error> {
    match &input.data {
        Data::Struct(data) if matches!(data.fields, Fields::Named(_)) => Ok(&data.fields),
        _ => {
            Err(Error::new_spanned(&input.ident, "a struct with named fields is needed: one for each tensor"))
        }
    }
}

/// What the model calls the tensor of a field.
fn tensor(field: &Field) -> Result<LitStr, Error> {
    let mut name = None;
    for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("tensor")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("name") {
                name = Some(meta.value()?.parse::<LitStr>()?);
                return Ok(());
            }
            Err(meta.error("unknown; write `#[tensor(name = \"...\")]`"))
        })?;
    }
    let ident = field.ident.as_ref().ok_or_else(|| Error::new_spanned(field, "a field without a name"))?;
    Ok(name.unwrap_or_else(|| {
        let text = ident.to_string();
        LitStr::new(text.strip_prefix("r#").unwrap_or(&text), ident.span())
    }))
}
