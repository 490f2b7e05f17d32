//! The error bodies of real providers, by name: what `body=NAME` answers with.
//!
//! Only a table. Each row is worded as the provider words it, because a gateway has to recognise
//! these texts; the statuses are the ones that come with them.

/// One error as a provider sends it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ErrorBody {
    /// What `body=` calls it.
    pub(crate) name: &'static str,
    /// The status that usually comes with it; `fault=status:S` overrides it.
    pub(crate) status: u16,
    /// The content type.
    pub(crate) media: &'static str,
    /// The bytes.
    pub(crate) text: &'static str,
}

/// The row called `name`.
pub(crate) fn find(name: &str) -> Option<&'static ErrorBody> {
    BODIES.iter().find(|body| body.name == name)
}

/// Every name of the table, in its order.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    BODIES.iter().map(|body| body.name)
}

const fn json(name: &'static str, status: u16, text: &'static str) -> ErrorBody {
    ErrorBody {
        name,
        status,
        media: "application/json",
        text,
    }
}

/// Names without a provider are OpenAI's wording.
pub(crate) const BODIES: &[ErrorBody] = &[
    // out of money
    json(
        "money",
        429,
        r#"{"error":{"message":"You exceeded your current quota, please check your plan and billing details.","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#,
    ),
    json(
        "money_deepseek",
        402,
        r#"{"error":{"message":"Insufficient Balance","type":"unknown_error","param":null,"code":"invalid_request_error"}}"#,
    ),
    json(
        "money_anthropic",
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits."}}"#,
    ),
    json(
        "money_zhipu",
        429,
        r#"{"error":{"code":"1113","message":"余额不足或无可用资源包,请充值。"}}"#,
    ),
    json(
        "money_minimax",
        200,
        r#"{"base_resp":{"status_code":1008,"status_msg":"insufficient balance"}}"#,
    ),
    // too many requests
    json(
        "rate",
        429,
        r#"{"error":{"message":"Rate limit reached for requests per min (RPM): Limit 3, Used 3, Requested 1.","type":"requests","param":null,"code":"rate_limit_exceeded"}}"#,
    ),
    json(
        "rate_zhipu",
        429,
        r#"{"error":{"code":"1302","message":"您当前使用该API的并发数过高,请降低并发"}}"#,
    ),
    // too long
    json(
        "context",
        400,
        r#"{"error":{"message":"This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens. Please reduce the length of the messages.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#,
    ),
    json(
        "context_vllm",
        400,
        r#"{"error":{"message":"This model's maximum context length is 8192 tokens. However, you requested 9001 tokens (8001 in the messages, 1000 in the completion). Please reduce the length of the messages or completion.","type":"BadRequestError","param":null,"code":400}}"#,
    ),
    json(
        "context_sglang",
        400,
        r#"{"object":"error","message":"The input (9001 tokens) is longer than the model's context length (8192 tokens).","type":"BadRequestError","param":null,"code":400}"#,
    ),
    json(
        "context_llamacpp",
        400,
        r#"{"error":{"code":400,"message":"the request exceeds the available context size, try increasing it","type":"exceed_context_size_error","n_prompt_tokens":9001,"n_ctx":8192}}"#,
    ),
    json(
        "context_mistral",
        400,
        r#"{"object":"error","message":"Prompt contains 9001 tokens and 0 draft tokens, too large for model with 8192 maximum context length","type":"invalid_request_error","param":null,"code":"3051"}"#,
    ),
    json(
        "context_minimax",
        400,
        r#"{"type":"error","error":{"type":"bad_request_error","message":"invalid params, context window exceeds limit (2013)","http_code":"400"},"request_id":"sim"}"#,
    ),
    json(
        "context_bedrock",
        400,
        r#"{"message":"Input is too long for requested model."}"#,
    ),
    // cannot do that
    json(
        "tools",
        400,
        r#"{"error":{"message":"\"auto\" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set","type":"BadRequestError","param":null,"code":400}}"#,
    ),
    json(
        "tools_llamacpp",
        500,
        r#"{"error":{"code":500,"message":"tools param requires --jinja flag","type":"server_error"}}"#,
    ),
    json(
        "vision",
        400,
        r#"{"error":{"message":"sim is not a multimodal model","type":"BadRequestError","param":null,"code":400}}"#,
    ),
    json(
        "developer",
        400,
        r#"{"error":{"message":"Failed to deserialize the JSON body into the target type: messages[0].role: unknown variant `developer`, expected one of `system`, `user`, `assistant`, `tool`, `latest_reminder`","type":"invalid_request_error","param":null,"code":"invalid_request_error"}}"#,
    ),
    json(
        "max_tokens",
        400,
        r#"{"error":{"message":"Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.","type":"invalid_request_error","param":"max_tokens","code":"unsupported_parameter"}}"#,
    ),
    json(
        "temperature",
        400,
        r#"{"error":{"message":"invalid temperature: only 1 is allowed for this model","type":"invalid_request_error"}}"#,
    ),
    json(
        "reasoning",
        400,
        r#"{"error":{"message":"The `reasoning_content` in the thinking mode must be passed back to the API.","type":"invalid_request_error","param":null,"code":"invalid_request_error"}}"#,
    ),
    json(
        "batch",
        422,
        r#"{"message":"batch size 95 > maximum allowed batch size 32","code":422,"type":"Validation"}"#,
    ),
    // no such model
    json(
        "model",
        404,
        r#"{"error":{"message":"The model `sim` does not exist or you do not have access to it.","type":"invalid_request_error","param":null,"code":"model_not_found"}}"#,
    ),
    json(
        "model_ark",
        404,
        r#"{"error":{"code":"InvalidEndpointOrModel.NotFound","message":"The model or endpoint sim does not exist or you do not have access to it.","param":"","type":"NotFound"}}"#,
    ),
    // refused keys
    json(
        "key",
        401,
        r#"{"error":{"message":"Incorrect API key provided: sk-simul*************************ated. You can find your API key at https://platform.openai.com/account/api-keys.","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}"#,
    ),
    json(
        "key_minimax",
        200,
        r#"{"base_resp":{"status_code":1004,"status_msg":"login fail: Please carry the API secret key in the 'Authorization' field of the request header"}}"#,
    ),
    // the client's fault
    json(
        "filter",
        400,
        r#"{"error":{"message":"The response was filtered due to the prompt triggering Azure OpenAI's content management policy.","type":null,"param":"prompt","code":"content_filter","status":400}}"#,
    ),
    json(
        "invalid",
        400,
        r#"{"error":{"message":"Invalid value: 'x'.","type":"invalid_request_error","param":"messages[0].content","code":"invalid_value"}}"#,
    ),
    // overloaded, loading
    json(
        "overloaded",
        503,
        r#"{"error":{"message":"The engine is currently overloaded, please try again later","type":"server_error","param":null,"code":null}}"#,
    ),
    json(
        "anthropic",
        529,
        r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
    ),
    json(
        "loading",
        503,
        r#"{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}"#,
    ),
    // shapes
    json(
        "array",
        400,
        r#"[{"error":{"code":400,"message":"Request contains an invalid argument.","status":"INVALID_ARGUMENT"}}]"#,
    ),
    json(
        "string",
        400,
        r#"{"code":"Client specified an invalid argument","error":"Argument not supported on this model: stop"}"#,
    ),
    json(
        "flat",
        400,
        r#"{"object":"error","message":"The request is invalid.","type":"BadRequestError","param":null,"code":400}"#,
    ),
    json(
        "databricks",
        400,
        r#"{"error_code":"BAD_REQUEST","message":"Invalid request."}"#,
    ),
    json(
        "dashscope",
        400,
        r#"{"error":{"code":"invalid_parameter_error","param":null,"message":"parameter.enable_thinking must be set to false for non-streaming calls","type":"invalid_request_error"},"id":"sim","request_id":"sim"}"#,
    ),
    json(
        "openrouter",
        502,
        r#"{"error":{"code":502,"message":"Provider returned error","metadata":{"error_type":"provider_unavailable","provider_name":"sim"}},"user_id":"sim"}"#,
    ),
    json(
        "detail",
        422,
        r#"{"detail":[{"loc":["body","messages"],"msg":"field required","type":"value_error.missing"}]}"#,
    ),
    json("nobody", 500, ""),
    ErrorBody {
        name: "html",
        status: 502,
        media: "text/html",
        text: "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n",
    },
    ErrorBody {
        name: "text",
        status: 500,
        media: "text/plain",
        text: "Internal Server Error",
    },
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_json_bodies_are_json() {
        let mut seen = HashSet::new();
        for body in BODIES {
            assert!(seen.insert(body.name), "{} stands twice", body.name);
            if body.media == "application/json" && !body.text.is_empty() {
                let parsed = serde_json::from_str::<serde_json::Value>(body.text);
                assert!(parsed.is_ok(), "{}: {parsed:?}", body.name);
            }
        }
    }
}
