#include <algorithm>
#include <memory>
#include <thread>

#include <sched.h>

#include "server/runtime/config_table.hpp"

// What is derived from the table: documentation, differences, sums.
namespace pam::runtime {
namespace {

/// An option's value in two configurations. Options are listed in the same order for both.
bool is_same(const option& a, const option& b) {
  if (a.mark == option_mark::secret)
    return *std::get<std::string*>(a.target) == *std::get<std::string*>(b.target);
  return format_value(a) == format_value(b);
}

void copy_value(const option& from, const option& to) {
  std::visit([&from](auto* target) { *target = *std::get<decltype(target)>(from.target); }, to.target);
}

/// The table bound to a configuration it does not change.
std::vector<option> table_of(const configuration& settings, configuration& copy) {
  copy = settings;
  return options_of(copy);
}

std::string strict_default(const option& usual, const option& strict) {
  return is_same(usual, strict) ? "" : format_value(strict);
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

std::size_t available_cores() {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  if (sched_getaffinity(0, sizeof cores, &cores) == 0 && CPU_COUNT(&cores) > 0) {
    return static_cast<std::size_t>(CPU_COUNT(&cores));
  }
  return std::max(1U, std::thread::hardware_concurrency());
}

}  // namespace

std::string default_config() {
  configuration usual;
  configuration strict;
  const auto table = options_of(usual);
  apply_profile(strict, "strict");
  const auto strict_table = options_of(strict);

  std::string out =
      "# PAM Auth configuration. Each key is shown with its default; remove the # to change it.\n"
      "# Durations: \"500ms\", \"30s\", \"15m\", \"12h\", \"30d\", or whole seconds. Sizes: \"64KiB\", or "
      "bytes.\n"
      "# Environment variables win: PAM_SECTION__KEY, lists with commas.\n"
      "# A file may be written \"credential:name\" for $CREDENTIALS_DIRECTORY/name.\n";
  for (const section& part : config_sections()) {
    out.append("\n# ").append(part.meaning).append(".\n[").append(part.name).append("]\n");
    for (std::size_t i = 0; i < table.size(); ++i) {
      const option& each = table[i];
      if (each.section() != part.name) continue;
      out.append("# ").append(each.meaning).append(" (").append(expectation(each));
      const std::string differs = strict_default(each, strict_table[i]);
      if (!differs.empty() && each.key != "server.profile") out.append("; strict: ").append(differs);
      out.append(each.is_reloadable ? "; reloadable).\n# " : ").\n# ");
      out.append(each.name()).append(" = ").append(format_value(each)).append("\n");
    }
  }
  return out;
}

std::string config_reference_markdown() {
  configuration usual;
  configuration strict;
  const auto table = options_of(usual);
  apply_profile(strict, "strict");
  const auto strict_table = options_of(strict);

  std::string out =
      "# Configuration\n\n"
      "Values come from the defaults, then the defaults of the profile, then the file (TOML), then the\n"
      "environment: `PAM_SECTION__KEY`, lists with commas. Durations are \"500ms\", \"30s\", \"15m\", "
      "\"12h\",\n"
      "\"30d\" or whole seconds; sizes are \"64KiB\" or bytes. A file may be written `credential:name`, "
      "which\n"
      "means `$CREDENTIALS_DIRECTORY/name`. SIGHUP applies the reloadable keys; the others need a restart.\n";
  for (const section& part : config_sections()) {
    out.append("\n## [").append(part.name).append("]\n\n").append(part.meaning).append(".\n\n");
    out += "| key | default | strict | takes | meaning | reload |\n|---|---|---|---|---|---|\n";
    for (std::size_t i = 0; i < table.size(); ++i) {
      const option& each = table[i];
      if (each.section() != part.name) continue;
      const std::string differs = strict_default(each, strict_table[i]);
      std::string takes = expectation(each);
      replace_all(takes, "|", "\\|");
      out.append("| `").append(each.name()).append("` | `").append(format_value(each)).append("` | ");
      if (!differs.empty()) out.append("`").append(differs).append("` ");
      out.append("| ").append(takes).append(" | ").append(each.meaning).append(" | ");
      out.append(each.is_reloadable ? "yes |\n" : "no |\n");
    }
  }
  return out;
}

config_difference difference(const configuration& running, const configuration& fresh) {
  configuration a;
  configuration b;
  const auto before = table_of(running, a);
  const auto after = table_of(fresh, b);
  config_difference out;
  for (std::size_t i = 0; i < before.size(); ++i) {
    if (is_same(before[i], after[i])) continue;
    (before[i].is_reloadable ? out.reloadable : out.needs_restart).emplace_back(before[i].key);
  }
  return out;
}

void apply_reloadable(configuration& running, const configuration& fresh) {
  configuration copy;
  const auto from = table_of(fresh, copy);
  const auto to = options_of(running);
  for (std::size_t i = 0; i < to.size(); ++i) {
    if (to[i].is_reloadable) copy_value(from[i], to[i]);
  }
}

std::vector<std::string> departures_from_profile(const configuration& settings) {
  configuration profile;
  configuration usual;
  configuration copy;
  apply_profile(profile, settings.server.profile);
  const auto expected = options_of(profile);
  const auto defaults = options_of(usual);
  const auto given = table_of(settings, copy);
  std::vector<std::string> out;
  for (std::size_t i = 0; i < given.size(); ++i) {
    const bool is_set_by_profile = !is_same(expected[i], defaults[i]);
    if (!is_set_by_profile || is_same(expected[i], given[i])) continue;
    out.push_back(std::string{given[i].key} + " = " + format_value(given[i]));
  }
  return out;
}

std::size_t effective_shards(const configuration& settings) {
  return settings.server.shards != 0 ? settings.server.shards : available_cores();
}

std::size_t effective_hash_threads(const configuration& settings) {
  const std::size_t budget =
      settings.hash.threads != 0 ? settings.hash.threads : std::max<std::size_t>(1, available_cores() / 2);
  const std::size_t processes =
      settings.hash.processes != 0 ? settings.hash.processes : settings.server.processes;
  return std::max<std::size_t>(1, budget / processes);
}

}  // namespace pam::runtime
