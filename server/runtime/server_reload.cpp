#include <optional>
#include <utility>

#include "server/runtime/descriptor_limit.hpp"
#include "server/runtime/load_keys.hpp"
#include "server/runtime/load_tls.hpp"
#include "server/runtime/server.hpp"

// SIGHUP: everything is read and validated before anything of it is used, so that an error leaves no mixture
// of old and new.
namespace pam::runtime {

/// All that a reload brings.
struct server::reloaded {
  configuration settings;  ///< the running one with the reloadable values of the fresh one
  config_difference changed;
  std::optional<crypto::key_ring> keys;
  std::unique_ptr<net::tls_context> tls;           ///< null: the port is plain
  std::unique_ptr<net::tls_context> internal_tls;  ///< null: the port is plain
  config_errors findings;                          ///< not empty: nothing of it may be used
};

namespace {

/// What cannot change under a running listener, though the keys are reloadable.
void keep_kind_of_internal_port(const configuration& running, configuration& fresh,
                                config_difference& changed) {
  if (running.internal.certificate_file.empty() == fresh.internal.certificate_file.empty()) return;
  fresh.internal.certificate_file = running.internal.certificate_file;
  fresh.internal.private_key_file = running.internal.private_key_file;
  fresh.internal.client_ca_file = running.internal.client_ca_file;
  changed.needs_restart.emplace_back("internal.certificate_file");
  std::erase_if(changed.reloadable, [](const std::string& key) { return key.starts_with("internal."); });
}

std::string joined(const std::vector<std::string>& keys) {
  std::string out;
  for (const std::string& key : keys) out.append(out.empty() ? "" : " ").append(key);
  return out;
}

/// A TLS context, or its finding.
std::unique_ptr<net::tls_context> load_or_report(const std::optional<net::tls_config>& files,
                                                 config_errors& findings) {
  auto loaded = load_tls_context(files);
  if (loaded.has_value()) return std::move(*loaded);
  findings.push_back({loaded.error().key, "its file", loaded.error().message});
  return nullptr;
}

}  // namespace

void server::await_reload() {
  reload_signals_.async_wait([this](const boost::system::error_code& failure, int) {
    if (failure) return;
    reload();
    await_reload();
  });
}

void server::reload() {
  given_.manager.reloading();
  const bool is_taken = reload_all();
  given_.manager.ready("serving on port " + std::to_string(port_) +
                       (is_taken ? "" : "; the last reload was refused, see the log"));
}

bool server::reload_all() {
  // Of its own: logs are rotated whatever the state of certificates and keys.
  if (auto reopened = log_.reopen(); reopened.has_error()) {
    log_.error("log_reopen_failed", {{"detail", reopened.error().message}}, "the old file stays in use");
  }
  reloaded fresh = read_again();
  for (const config_error& each : fresh.findings) {
    log_.error("reload_refused", {{"key", each.key}, {"origin", each.origin}, {"detail", each.message}},
               "configuration, keys and certificates all stay as they were");
  }
  if (!fresh.findings.empty()) return false;
  for (const std::string& key : fresh.changed.needs_restart) {
    log_.warn("needs_restart", {{"key", key}}, "changed, but takes effect at the next start only");
  }
  const std::string changed = joined(fresh.changed.reloadable);
  use(std::move(fresh));
  log_.info("reloaded", {{"changed", changed}}, "keys and certificates were read again");
  return true;
}

server::reloaded server::read_again() {
  reloaded fresh;
  fresh.settings = settings_;
  if (reread_) {
    auto read = reread_();
    fresh.findings = read.has_error() ? read.error() : missing_for_serving(*read);
    if (read.has_value()) {
      // Port 0 is whatever the kernel chose.
      if (read->listen.port == 0) read->listen.port = settings_.listen.port;
      // Descriptors allowed no more at the start: that is no change. One that does not fit waits for a start.
      const std::size_t wanted = read->limits.connections;
      if (fit_to_descriptors(*read, raise_descriptor_limit()).has_error()) read->limits.connections = wanted;
      fresh.changed = difference(settings_, *read);
      keep_kind_of_internal_port(settings_, *read, fresh.changed);
      apply_reloadable(fresh.settings, *read);
    }
  }
  // With a configuration that is refused, the files of the running one are looked at: an operator learns of
  // every fault at once.
  auto keys = load_keys(fresh.settings);
  if (keys.has_error()) {
    fresh.findings.push_back(keys.error());
  } else {
    fresh.keys = std::move(*keys);
  }
  fresh.tls = load_or_report(tls_of(fresh.settings), fresh.findings);
  fresh.internal_tls = load_or_report(internal_tls_of(fresh.settings), fresh.findings);
  return fresh;
}

// Nothing here can fail. Every shard signs and verifies with the new keys from its next call on, and shows
// the new certificate to its next connection.
void server::use(reloaded fresh) {
  apply_reloadable(settings_, fresh.settings);
  log_.set_level(parse_log_level(settings_.log.level).value_or(log_level::info));
  apply_log_settings();
  keys_.exchange(std::move(*fresh.keys));
  if (fresh.tls) {
    tls_.push_back(std::move(fresh.tls));
    for (const auto& each : shards_) each->use(tls_.back().get());
  }
  if (fresh.internal_tls) {
    internal_tls_.push_back(std::move(fresh.internal_tls));
    internal_->use(internal_tls_.back().get());
  }
}

}  // namespace pam::runtime
