-- GET /health: the server without database and tokens.
wrk.path = "/health"

function done(summary, latency)
  local errors = summary.errors
  print(string.format("requests %d, status or socket errors %d, p99 %.2f ms", summary.requests,
    errors.status + errors.connect + errors.read + errors.write + errors.timeout, latency:percentile(99) / 1000))
end
