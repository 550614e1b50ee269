//! Which functions of the language a policy may call.

/// Refused, with the reason an author reads. A name that ends in a dot stands for all that begin with it.
pub const REFUSED: &[(&str, &str)] = &[
    ("http.send", "a policy has no network"),
    ("net.", "a policy has no network"),
    ("time.now_ns", "a policy has no clock; the time is input.now and input.nowNs"),
    ("time.clock", "it depends on a database of time zones; parse input.now"),
    ("time.add_date", "at the end of a month engines differ"),
    ("base64.", "no input is encoded"),
    ("base64url.", "no input is encoded"),
    ("hex.", "no input is encoded"),
    ("urlquery.", "no input is encoded"),
    ("rand.", "the same question has the same answer"),
    ("uuid.", "the same question has the same answer"),
    ("opa.runtime", "a policy has no environment"),
    ("trace", "there is nobody to read it"),
    ("print", "there is nobody to read it"),
    ("rego.", "a policy does not compile policies"),
    ("io.", "a policy checks no tokens"),
    ("crypto.", "a policy checks no keys"),
    ("providers.", "a policy has no network"),
    ("graphql.", "there is no GraphQL in its input"),
    ("graph.", "its work grows without bound"),
    ("json.patch", "its work grows without bound"),
    ("json.match_schema", "there are no schemas in its input"),
    ("json.verify_schema", "there are no schemas in its input"),
    ("json.filter", "its work grows without bound"),
    ("json.remove", "its work grows without bound"),
    ("json.marshal_with_options", "it differs between engines; use json.marshal"),
    ("strings.replace_n", "its answer grows without bound; use replace"),
    ("strings.render_template", "its answer grows without bound; use sprintf"),
    ("numbers.range_step", "its answer grows without bound"),
    ("regex.find_all_string_submatch_n", "its answer grows without bound; use regex.find_n"),
    ("regex.globs_match", "its work grows without bound; use glob.match"),
    ("regex.template_match", "use regex.match"),
    ("regex.replace", "its answer grows without bound; use replace"),
    ("object.union_n", "use object.union"),
    ("walk", "its work grows without bound"),
    ("yaml.", "there is no YAML in its input"),
    ("units.", "there are no units in its input"),
    ("test.", "a policy does not wait"),
    ("__builtin_host_await", "no such function"),
];

/// Allowed, but asked with care: what they give can be far longer than what they get, so that its size is reckoned first. With
/// the number of their arguments.
pub const GUARDED: &[(&str, usize)] = &[
    ("bits.lsh", 2),
    ("concat", 2),
    ("json.marshal", 1),
    ("numbers.range", 2),
    ("object.union", 2),
    ("replace", 3),
    ("sprintf", 2),
];

/// Why `name` is refused, if it is.
pub(super) fn refusal(name: &str) -> Option<&'static str> {
    let hit = REFUSED.iter().find(|(refused, _)| match refused.strip_suffix('.') {
        Some(family) => name.strip_prefix(family).is_some_and(|rest| rest.starts_with('.')),
        None => *refused == name,
    });
    hit.map(|(_, reason)| *reason)
}
