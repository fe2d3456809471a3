"""Every `code` of an error answer: what it means and what to do. Served at /docs/errors, where answers point to."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Explained:
    """`status` is the usual one; an answer says its own."""

    status: int
    means: str
    remedy: str


CODES: dict[str, Explained] = {
    "address_refused": Explained(
        400,
        "Requests from here may not go to this address: it is not https, has a login or a port of its own, or leads "
        "into a private network.",
        "Give an https address that the whole internet can reach. PRESSROOM_WEBHOOK_ALLOW_PRIVATE lets an operator "
        "name networks of their own.",
    ),
    "events_gone": Explained(
        410,
        "Events after the one in Last-Event-ID are not kept any more, so some may be missed.",
        "Leave Last-Event-ID out, and read how things stand from the jobs and batches. PRESSROOM_EVENT_KEEP_SECONDS "
        "sets how long events are kept.",
    ),
    "invalid_api_key": Explained(
        401,
        "There is no API key in the request, or it is mistyped, expired or revoked.",
        "Send `Authorization: Bearer pr_…`. `pressroom keys list` shows which keys are valid; `keys create` makes one.",
    ),
    "missing_scope": Explained(
        403,
        "The key is valid and lacks the scope that this address asks for.",
        "submit hands work in and cancels it, read sees it, admin manages keys and budgets. Use a key that has it.",
    ),
    "unknown_url": Explained(404, "There is no such address.", "/openapi.json lists all addresses."),
    "not_found": Explained(
        404,
        "There is no such thing in the project of this key. What belongs to another project is not found either.",
        "Look the id up in a list, with a key of the project that it belongs to.",
    ),
    "model_not_found": Explained(
        404,
        "There is no such model here, or it is not served any more.",
        "GET /v1/models lists all that are. Operators add to them: `pressroom prices set`, `pressroom routes set`.",
    ),
    "unknown_price": Explained(
        400,
        "Nobody knows what this would cost, so it is not begun.",
        "An operator adds it with `pressroom prices set`.",
    ),
    "over_budget": Explained(
        400, "It may cost more than a budget allows in all.", "Ask for less, or have the budget raised."
    ),
    "method_not_allowed": Explained(405, "The address does not know this method.", "/openapi.json lists methods."),
    "conflict": Explained(
        409, "The thing exists, and its state does not allow what was asked.", "Read it again; the message says more."
    ),
    "idempotency_key_in_use": Explained(
        409,
        "Another request with the same Idempotency-Key is being stored at this moment.",
        "Send it again after Retry-After: it gets the other's answer.",
    ),
    "idempotency_key_reused": Explained(
        409,
        "The Idempotency-Key was another request's within the last day.",
        "Make up a new key for every new request, and send the same one only with the same body.",
    ),
    "job_not_ended": Explained(
        409,
        "The job has no answer yet.",
        "Come again after Retry-After, or listen at /v1/events; GET /v1/jobs/{id} says what it waits for.",
    ),
    "job_not_found": Explained(
        400, "`depends_on` names a job that is not in this project.", "GET /v1/jobs lists the project's jobs."
    ),
    "duplicate_custom_id": Explained(
        400, "Two jobs of a request, or two lines of a file, have the same custom_id.", "Give each a name of its own."
    ),
    "dependency_cycle": Explained(
        400, "Jobs of the request wait for one another in a circle.", "Leave one of the dependencies out."
    ),
    "request_too_large": Explained(
        413,
        "The body is larger than is taken at this address.",
        "Split it, or upload a file to /v1/files. PRESSROOM_API_MAX_BODY_BYTES and _UPLOAD_BYTES set the bounds.",
    ),
    "unsupported_media_type": Explained(
        415,
        "The body's Content-Type or Content-Encoding is not taken.",
        "Send application/json, or multipart/form-data for files, uncompressed.",
    ),
    "invalid_json": Explained(400, "The body is not JSON.", "The message says where it ends to be."),
    "json_too_deep": Explained(
        400, "The body nests too deep.", "Flatten it; PRESSROOM_API_MAX_JSON_DEPTH is the bound."
    ),
    "invalid_value": Explained(
        400, "A field's value cannot be used; `param` names it.", "The message says the remedy."
    ),
    "invalid_type": Explained(
        400, "A field is of the wrong type; `param` names it.", "The message says which is right."
    ),
    "invalid_url": Explained(400, "`url` is no endpoint that jobs can be made for.", "The message lists them."),
    "unknown_parameter": Explained(400, "The model has no such parameter.", "Leave it out."),
    "unsupported_parameter": Explained(
        400, "The model does not take this parameter.", "The message says what to send instead."
    ),
    "string_above_max_length": Explained(400, "A text is longer than the model takes.", "Shorten it."),
    "context_length_exceeded": Explained(
        400, "Prompt and answer together are longer than the model can hold.", "Shorten the prompt, or ask for less."
    ),
    "invalid_json_line": Explained(400, "A line of the file is no JSON object.", "The message says where and why."),
    "invalid_method": Explained(400, "A line's `method` is not POST.", "Write POST, or leave it out."),
    "duplicate_key": Explained(400, "A line's object has a field twice.", "Leave one of them out."),
    "mismatched_endpoint": Explained(
        400, "A line's `url` is not the batch's `endpoint`.", "Make a batch for each endpoint."
    ),
    "empty_file": Explained(400, "The file is empty, or has no lines.", "Give at least one line."),
    "file_too_large": Explained(
        400, "The file is larger than is taken.", "Split it; PRESSROOM_API_MAX_UPLOAD_BYTES is the bound."
    ),
    "too_many_lines": Explained(
        400, "The file has more lines than a batch may have.", "Split it; PRESSROOM_MAX_BATCH_LINES is the bound."
    ),
    "file_not_found": Explained(400, "The batch's file was not there any more.", "Upload it again."),
    "invalid_form": Explained(400, "The form cannot be read.", "Send multipart/form-data as the address describes it."),
    "missing_required_parameter": Explained(400, "A field that is needed is not there.", "`param` names it."),
    "headers_too_large": Explained(431, "Address and headers are too large.", "Send what is long in the body."),
    "range_not_satisfiable": Explained(416, "The part that was asked for is not there.", "Ask for bytes that exist."),
    "unsupported_endpoint": Explained(
        400, "Jobs cannot be made for this endpoint.", "The message says which ones can be used."
    ),
    "bad_request": Explained(400, "The request cannot be read.", "The message says why."),
    "rate_limit_exceeded": Explained(
        429,
        "The key made more requests than its limit allows.",
        "Wait for Retry-After; put many jobs into one request or a batch; or ask for a higher limit.",
    ),
    "unavailable": Explained(
        503,
        "PostgreSQL, Redis or the object store does not answer.",
        "Send the same request again after Retry-After, with the same Idempotency-Key where you have one.",
    ),
    "internal_error": Explained(
        500, "A bug of ours. It is in the log, under the answer's x-request-id.", "Report it with that id."
    ),
}
