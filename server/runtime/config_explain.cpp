#include <algorithm>
#include <cctype>

#include "server/runtime/config_reader.hpp"
#include "server/runtime/config_values.hpp"

// `pam-auth config explain KEY`: all that the table and one reading of the configuration know of a key.
namespace pam::runtime {
namespace {

/// "PAM_LIMITS__BODY" and "LIMITS.BODY" as "limits.body".
std::string key_of(std::string_view text) {
  std::string key{text};
  std::transform(key.begin(), key.end(), key.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (!key.starts_with("pam_")) return key;
  key.erase(0, 4);
  if (const std::size_t at = key.find("__"); at != std::string::npos) key.replace(at, 2, ".");
  return key;
}

std::string unknown(std::string_view given, const std::string& key, const std::vector<option>& table) {
  std::string members;
  std::vector<std::string_view> keys;
  std::vector<std::string_view> same_name;
  for (const option& each : table) {
    keys.push_back(each.key);
    if (each.section() == key) members.append("\n  ").append(each.key);
    if (each.name() == key.substr(key.find('.') + 1)) same_name.push_back(each.key);
  }
  if (!members.empty()) return quoted_short(given) + " is a section; its keys are" + members + "\n";
  // The right name in the wrong section says more than a similar spelling.
  const auto like = same_name.empty() ? nearest_of(key, keys, 3) : same_name;
  std::string out = quoted_short(given) + " is no key of the configuration";
  if (like.empty()) return out + "; `pam-auth config default` lists all of them\n";
  out += "; the nearest: ";
  for (const std::string_view each : like) out.append(each == like.front() ? "" : ", ").append(each);
  return out + "\n";
}

/// How a value is written where "a duration" or "a size" leaves it open.
std::string_view unit_of(const option& which) {
  if (std::holds_alternative<std::chrono::milliseconds*>(which.target) ||
      std::holds_alternative<std::chrono::seconds*>(which.target)) {
    return "; written with ms, s, m, h or d, a bare number means seconds";
  }
  if (which.mark == option_mark::bytes) return "; written with B, KiB, MiB or GiB, a bare number means bytes";
  return "";
}

std::string value_in_force(const option& which) {
  if (which.mark != option_mark::secret) return format_value(which);
  return std::get<std::string*>(which.target)->empty() ? "(empty)" : "(set; not shown)";
}

}  // namespace

explanation explain_config(std::string_view key, const std::string& file, const environment& variables) {
  configuration usual;
  configuration strict;
  apply_profile(strict, "strict");
  const auto table = options_of(usual);
  const auto strict_table = options_of(strict);
  explanation out;
  const std::string wanted = key_of(key);
  const option* which = find_option(table, wanted);
  if (which == nullptr) {
    out.text = unknown(key, wanted, table);
    return out;
  }
  out.is_known = true;
  const auto line = [&out](std::string_view name, const std::string& what) {
    out.text.append("  ").append(name).append(12 - name.size(), ' ').append(what).append("\n");
  };
  const std::string fallback = format_value(*which);
  const std::string when_strict = format_value(*find_option(strict_table, which->key));
  out.text = std::string{which->key} + "\n  " + std::string{which->meaning} + ".\n\n";
  line("takes", expectation(*which) + std::string{unit_of(*which)});
  line("default", fallback == when_strict || which->key == "server.profile"
                      ? fallback
                      : fallback + "; in the profile strict " + when_strict);
  line("in TOML", "[" + std::string{which->section()} + "] " + std::string{which->name()} + " = " + fallback);
  line("variable", variable_name(which->key));
  line("reload", which->is_reloadable ? "yes, on SIGHUP" : "no, a change needs a restart");

  std::string text;
  if (!file.empty()) {
    auto read = read_config_file(file);
    if (read.has_error()) {
      out.findings = read.error();
      return out;
    }
    text = std::move(*read);
  }
  config_reader reader{file, variables};
  reader.read_toml(text);
  reader.read_environment();
  reader.apply();
  if (reader.has_findings()) {
    out.findings = reader.take_findings();
    return out;
  }
  const option& given = *find_option(reader.table(), which->key);
  std::string origin = reader.origin_text(which->key);
  const std::string profile = *std::get<std::string*>(find_option(reader.table(), "server.profile")->target);
  if (origin == "default" && profile == "strict" && fallback != when_strict) {
    origin = "default of the profile strict";
  }
  line("in force", value_in_force(given) + ", from " + origin);
  if (file.empty()) out.text += "  (no file was read: name it with --config FILE or PAM_CONFIG)\n";
  return out;
}

}  // namespace pam::runtime
