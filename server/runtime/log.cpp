#include "server/runtime/log.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <map>
#include <mutex>
#include <stdexcept>
#include <utility>
#include <vector>

#include <spdlog/details/file_helper.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "server/runtime/log_line.hpp"

namespace pam::runtime {
namespace {

using clock = std::chrono::system_clock;
constexpr std::array<std::string_view, 4> level_names{"debug", "info", "warn", "error"};

/// A file that can be opened again under its name. Each line is flushed: nothing waits in our memory.
class file_sink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit file_sink(std::string name) : name_(std::move(name)), file_(open_file(name_)) {}

  /// Opens first, so that a failure leaves the old file in use. Throws spdlog_ex.
  void reopen() {
    auto fresh = open_file(name_);
    const std::lock_guard lock{mutex_};
    file_ = std::move(fresh);
  }

 private:
  using file = std::unique_ptr<spdlog::details::file_helper>;

  static file open_file(const std::string& name) {
    auto helper = std::make_unique<spdlog::details::file_helper>();
    helper->open(name);
    return helper;
  }

  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t text;
    text.append(message.payload.data(), message.payload.data() + message.payload.size());
    file_->write(text);
    file_->flush();
  }
  void flush_() override { file_->flush(); }

  std::string name_;
  file file_;
};

class function_sink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit function_sink(std::function<void(std::string_view)> write) : write_(std::move(write)) {}

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    write_({message.payload.data(), message.payload.size()});
  }
  void flush_() override {}

  std::function<void(std::string_view)> write_;
};

/// Counts lines of an event within a second of the clock.
class flood_gate {
 public:
  struct suppressed {
    std::string event;
    std::uint64_t count;
  };
  struct verdict {
    bool may_pass = true;
    std::uint64_t suppressed_before = 0;
  };

  verdict judge(std::string_view event, clock::time_point now, std::size_t limit) {
    const auto second = std::chrono::floor<std::chrono::seconds>(now);
    const std::lock_guard lock{mutex_};
    counter& own = counter_of(event);
    verdict out;
    if (own.second != second) {
      out.suppressed_before = std::exchange(own.suppressed, 0);
      own.second = second;
      own.passed = 0;
    }
    out.may_pass = own.passed < limit;
    ++(out.may_pass ? own.passed : own.suppressed);
    return out;
  }

  /// Takes the counts of seconds other than `now`'s; all of them when `now` is empty.
  std::vector<suppressed> take(std::optional<clock::time_point> now) {
    std::vector<suppressed> out;
    const std::lock_guard lock{mutex_};
    for (auto& [event, own] : counters_) {
      if (own.suppressed == 0 || (now && own.second == std::chrono::floor<std::chrono::seconds>(*now)))
        continue;
      out.push_back({event, std::exchange(own.suppressed, 0)});
    }
    return out;
  }

 private:
  /// Events are literals, so there are tens; the bound holds whatever a caller passes.
  static constexpr std::size_t counter_limit = 256;

  struct counter {
    std::chrono::sys_seconds second{};
    std::size_t passed = 0;
    std::uint64_t suppressed = 0;
  };

  counter& counter_of(std::string_view event) {
    if (const auto found = counters_.find(event); found != counters_.end()) return found->second;
    const bool is_full = counters_.size() >= counter_limit;
    return counters_[is_full ? "other_events" : std::string{event}];
  }

  std::mutex mutex_;
  std::map<std::string, counter, std::less<>> counters_;
};

}  // namespace

struct logger::impl {
  log_settings settings;
  std::atomic<log_level> level;
  std::atomic<std::size_t> flood_limit;
  std::atomic<std::uint64_t> lost{0};
  std::shared_ptr<file_sink> file;  // null unless a file is written
  std::shared_ptr<spdlog::logger> out;
  flood_gate gate;

  explicit impl(log_settings given)
      : settings(std::move(given)), level(settings.level), flood_limit(settings.flood_limit) {
    out = std::make_shared<spdlog::logger>("pam", make_sink());
    out->set_level(spdlog::level::trace);  // levels are ours
    // The line is complete: no prefix and no end of line of spdlog's.
    out->set_formatter(std::make_unique<spdlog::pattern_formatter>("%v", spdlog::pattern_time_type::utc, ""));
    out->set_error_handler([this](const std::string&) { lost.fetch_add(1, std::memory_order_relaxed); });
  }

  spdlog::sink_ptr make_sink() {
    if (settings.write) return std::make_shared<function_sink>(settings.write);
    if (settings.file.empty()) return std::make_shared<spdlog::sinks::stdout_sink_mt>();
    file = std::make_shared<file_sink>(settings.file);
    return file;
  }

  void emit(const std::string& line) { out->log(spdlog::level::info, spdlog::string_view_t{line}); }

  void emit_suppressed(std::optional<clock::time_point> before) {
    for (const auto& each : gate.take(before)) {
      log_line line{settings.now(), log_level::warn, "log_suppressed", {}};
      line.add("suppressed_event", each.event);
      line.add("suppressed", each.count);
      emit(line.finish());
    }
  }

  void write(log_level at, std::string_view event, log_fields fields, std::string_view message) {
    const auto now = settings.now();
    flood_gate::verdict verdict;
    if (at >= log_level::warn) verdict = gate.judge(event, now, flood_limit.load(std::memory_order_relaxed));
    if (!verdict.may_pass) return;
    log_line line{now, at, event, message};
    if (verdict.suppressed_before != 0) line.add("suppressed", verdict.suppressed_before);
    for (const log_field& field : fields) line.add(field.name, field.value);
    emit(line.finish());
  }
};

std::string_view to_string(log_level level) {
  return level_names.at(static_cast<std::size_t>(level));
}

std::optional<log_level> parse_log_level(std::string_view name) {
  const auto found = std::find(level_names.begin(), level_names.end(), name);
  if (found == level_names.end()) return std::nullopt;
  return static_cast<log_level>(found - level_names.begin());
}

void throw_exception_from_error(const log_error& failure, const boost::source_location&) {
  throw std::runtime_error(failure.message);
}

logger::logger(std::unique_ptr<impl> state) : impl_(std::move(state)) {}
logger::logger(logger&&) noexcept = default;

logger& logger::operator=(logger&& other) noexcept {
  std::swap(impl_, other.impl_);
  return *this;
}

logger::~logger() {
  if (impl_) impl_->emit_suppressed(std::nullopt);
}

boost::system::result<logger, log_error> logger::open(log_settings settings) {
  const std::string name = settings.file;
  try {
    return logger{std::make_unique<impl>(std::move(settings))};
  } catch (const spdlog::spdlog_ex& failure) {
    return log_error{"log file " + name + " cannot be opened: " + failure.what()};
  }
}

void logger::debug(std::string_view event, log_fields fields, std::string_view message) {
  write(log_level::debug, event, fields, message);
}
void logger::info(std::string_view event, log_fields fields, std::string_view message) {
  write(log_level::info, event, fields, message);
}
void logger::warn(std::string_view event, log_fields fields, std::string_view message) {
  write(log_level::warn, event, fields, message);
}
void logger::error(std::string_view event, log_fields fields, std::string_view message) {
  write(log_level::error, event, fields, message);
}

void logger::write(log_level level, std::string_view event, log_fields fields, std::string_view message) {
  if (is_enabled(level)) impl_->write(level, event, fields, message);
}

bool logger::is_enabled(log_level level) const {
  return level >= impl_->level.load(std::memory_order_relaxed);
}
void logger::set_level(log_level level) {
  impl_->level.store(level, std::memory_order_relaxed);
}
void logger::set_flood_limit(std::size_t lines_a_second) {
  impl_->flood_limit.store(lines_a_second, std::memory_order_relaxed);
}

boost::system::result<void, log_error> logger::reopen() {
  if (!impl_->file) return {};
  try {
    impl_->file->reopen();
    return {};
  } catch (const spdlog::spdlog_ex& failure) {
    return log_error{"log file " + impl_->settings.file + " cannot be reopened: " + failure.what()};
  }
}

void logger::report_suppressed() {
  impl_->emit_suppressed(impl_->settings.now());
}

std::uint64_t logger::lost() const {
  return impl_->lost.load(std::memory_order_relaxed);
}

std::string redacted_email(std::string_view address) {
  const std::size_t at = address.rfind('@');
  if (at == std::string_view::npos) return "***";
  const std::string_view local = address.substr(0, at);
  std::size_t first = local.empty() ? 0 : 1;
  // The whole first character, not its first byte.
  while (first < local.size() && (static_cast<unsigned char>(local[first]) & 0xc0) == 0x80) ++first;
  return std::string{local.substr(0, first)} + "***" + std::string{address.substr(at)};
}

}  // namespace pam::runtime
