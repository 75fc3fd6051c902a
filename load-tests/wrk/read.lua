-- GET /user with a Bearer token on every request. TOKEN: an access token.
wrk.headers["Authorization"] = "Bearer " .. assert(os.getenv("TOKEN"), "TOKEN is not set: an access token")
wrk.path = (os.getenv("PREFIX") or "/auth/v1") .. "/user"

function done(summary, latency)
  local errors = summary.errors
  print(string.format("requests %d, status or socket errors %d, p99 %.2f ms", summary.requests,
    errors.status + errors.connect + errors.read + errors.write + errors.timeout, latency:percentile(99) / 1000))
end
