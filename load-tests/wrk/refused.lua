-- Forged refresh tokens: each is refused by its HMAC, before any database work. What a flood of them costs.
wrk.method = "POST"
wrk.path = (os.getenv("PREFIX") or "/auth/v1") .. "/token?grant_type=refresh_token"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"refresh_token":"pamr1_' .. string.rep("A", 96) .. '"}'

function done(summary, latency)
  -- wrk counts every 4xx as an error of status; here all of them must be.
  print(string.format("requests %d, refused %d, p99 %.2f ms", summary.requests, summary.errors.status,
    latency:percentile(99) / 1000))
end
