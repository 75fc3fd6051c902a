// This machine: descriptors, the kernel, the files with secrets, certificates.
#include <cmath>

#include "server/cli/check/judge.hpp"

namespace pam::cli::check {

namespace {

void judge_descriptors(const facts& all, findings& out) {
  const runtime::pool_shape& pools = all.own.pools;
  const std::uint64_t clients = all.own.client_limit * pools.shards;
  const std::uint64_t others = runtime::descriptors_beside_clients(pools);
  const std::uint64_t wanted = clients + others;
  const std::string sum = std::to_string(clients) + " clients + " + std::to_string(others) +
                          " of databases, loops and files = " + std::to_string(wanted) +
                          ", RLIMIT_NOFILE grants a process " + std::to_string(all.host.descriptor_limit);
  const std::string cure =
      "LimitNOFILE=" + std::to_string(wanted) + " in the unit, or lower limits.connections";
  const std::uint64_t fitting =
      runtime::clients_that_fit(pools, all.own.client_limit, all.host.descriptor_limit);
  if (fitting == 0) {
    out.push_back({severity::danger, "host.descriptors", sum + ": serve refuses to start", cure});
  } else if (fitting < all.own.client_limit) {
    out.push_back({severity::warning, "host.descriptors",
                   sum + ": serve takes " + std::to_string(fitting) + " connections a shard only", cure});
  } else {
    out.push_back({severity::ok, "host.descriptors", sum, ""});
  }
}

std::string octal(unsigned mode) {
  std::string text = "0000";
  for (std::size_t i = 0; i < 4; ++i) text[3 - i] = static_cast<char>('0' + ((mode >> (3 * i)) & 7U));
  return text;
}

void judge_files(const host_facts& host, findings& out) {
  std::size_t fine = 0;
  for (const file_facts& file : host.secret_files) {
    if (!file.exists) {
      out.push_back(
          {severity::danger, file.key, file.path + " is not there", "see docs/operations.md, Run it"});
    } else if (!file.is_readable) {
      out.push_back({severity::danger, file.key, file.path + " cannot be read by this user",
                     "chown it to the user that serves"});
    } else if ((file.mode & 07U) != 0) {
      out.push_back(
          {severity::danger, file.key,
           file.path + " has mode " + octal(file.mode) + ": everybody on this machine reads a secret",
           "chmod 0600 " + file.path});
    } else if ((file.mode & 077U) != 0) {
      out.push_back({severity::warning, file.key,
                     file.path + " has mode " + octal(file.mode) + ": its group reads it too",
                     "chmod 0600 " + file.path});
    } else {
      ++fine;
    }
  }
  if (fine != 0 && fine == host.secret_files.size()) {
    out.push_back(
        {severity::ok, "host.secrets", std::to_string(fine) + " files that only their owner reads", ""});
  }
}

void judge_certificates(const host_facts& host, findings& out) {
  for (const certificate_facts& one : host.certificates) {
    const std::string days = std::to_string(static_cast<long long>(std::floor(std::abs(one.days_left))));
    if (!one.problem.empty()) {
      out.push_back(
          {severity::danger, "tls.certificate_file", one.path + ": " + one.problem, "give a PEM chain"});
    } else if (one.days_left <= 0) {
      out.push_back({severity::danger, "tls.certificate_file", one.path + " expired " + days + " days ago",
                     "renew it, then SIGHUP"});
    } else if (one.days_left < 14) {
      out.push_back({severity::warning, "tls.certificate_file", one.path + " expires in " + days + " days",
                     "renew it, then SIGHUP; find out why that did not happen by itself"});
    } else {
      out.push_back({severity::ok, "tls.certificate_file", one.path + " is valid for " + days + " days", ""});
    }
  }
}

}  // namespace

void judge_host(const facts& all, findings& out) {
  judge_descriptors(all, out);
  if (all.own.shares_port && all.host.tcp_migrate_req.value_or(1) == 0) {
    out.push_back({severity::note, "host.tcp_migrate_req",
                   "net.ipv4.tcp_migrate_req = 0: connections queued on a listener that closes are reset",
                   "sysctl -w net.ipv4.tcp_migrate_req=1, and in /etc/sysctl.d"});
  } else if (all.own.shares_port && !all.host.tcp_migrate_req) {
    out.push_back({severity::note, "host.tcp_migrate_req",
                   "this kernel cannot move queued connections to another process (before Linux 5.14)",
                   "hand the listener over instead of closing it"});
  }
  judge_files(all.host, out);
  judge_certificates(all.host, out);
}

findings judge(const facts& all) {
  findings out;
  judge_pooler(all, out);
  judge_pools(all, out);
  judge_queue(all, out);
  if (all.route.unreachable.empty()) judge_role(all, out);
  judge_postgres(all, out);
  judge_host(all, out);
  return out;
}

}  // namespace pam::cli::check
