#include "server/runtime/log_line.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <type_traits>

#include "server/runtime/utf8.hpp"

namespace pam::runtime {
namespace {

constexpr std::string_view truncated_end = ",\"truncated\":true}\n";
/// What fields may fill: the end always fits behind them.
constexpr std::size_t room = log_line_limit - truncated_end.size();
constexpr std::size_t name_limit = 64;
constexpr std::size_t message_limit = 2'048;
/// Longest text of a number: "-1.7976931348623157e+308" and the like.
constexpr std::size_t number_limit = 32;

/// Decimal with leading zeros.
void append_padded(std::string& out, std::uint64_t value, std::size_t width) {
  std::array<char, 20> digits{};
  const auto [end, failure] = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  const auto length = static_cast<std::size_t>(end - digits.data());
  out.append(width > length ? width - length : 0, '0').append(digits.data(), length);
}

/// RFC 3339 with microseconds, UTC.
void append_time(std::string& out, std::chrono::system_clock::time_point time) {
  using namespace std::chrono;
  const auto micros = floor<microseconds>(time);
  const auto day = floor<days>(micros);
  const year_month_day date{day};
  const hh_mm_ss clock{micros - day};
  const auto number = [&out](auto value, std::size_t width, char after) {
    append_padded(out, static_cast<std::uint64_t>(value), width);
    out += after;
  };
  number(static_cast<int>(date.year()), 4, '-');
  number(static_cast<unsigned>(date.month()), 2, '-');
  number(static_cast<unsigned>(date.day()), 2, 'T');
  number(clock.hours().count(), 2, ':');
  number(clock.minutes().count(), 2, ':');
  number(clock.seconds().count(), 2, '.');
  number(clock.subseconds().count(), 6, 'Z');
}

/// C0, DEL and C1 (U+0080 to U+009F): a log must not steer the terminal it is read on.
bool is_control(std::string_view sequence) {
  const auto first = static_cast<unsigned char>(sequence[0]);
  if (sequence.size() == 1) return first < 0x20 || first == 0x7f;
  return sequence.size() == 2 && first == 0xc2 && static_cast<unsigned char>(sequence[1]) < 0xa0;
}

/// The JSON text (RFC 8259 section 7) of one UTF-8 sequence.
std::string_view escaped(std::string_view sequence, std::array<char, 6>& space) {
  if (sequence == "\"") return "\\\"";
  if (sequence == "\\") return "\\\\";
  if (sequence == "\n") return "\\n";
  if (sequence == "\r") return "\\r";
  if (sequence == "\t") return "\\t";
  if (!is_control(sequence)) return sequence;
  constexpr std::string_view hex = "0123456789abcdef";
  const auto point =
      static_cast<unsigned char>(sequence.back());  // C1: the second byte equals the code point
  space = {'\\', 'u', '0', '0', hex[point >> 4], hex[point & 0xf]};
  return {space.data(), space.size()};
}

bool is_reserved(std::string_view name) {
  return name == "time" || name == "level" || name == "msg" || name == "event" || name == "truncated";
}

}  // namespace

log_line::log_line(std::chrono::system_clock::time_point time, log_level level, std::string_view event,
                   std::string_view message) {
  text_.reserve(512);
  text_ += "{\"time\":\"";
  append_time(text_, time);
  text_.append("\",\"level\":\"").append(to_string(level)).append("\",\"msg\":");
  if (message.empty()) {
    std::string words{event};
    std::replace(words.begin(), words.end(), '_', ' ');
    append_text(words, name_limit);
  } else {
    append_text(message, message_limit);
  }
  text_ += ",\"event\":";
  append_text(event, name_limit);
}

void log_line::add(std::string_view name, const log_value& value) {
  // A name of 64 escaped bytes, a number or two quotes, or nothing at all.
  if (text_.size() + name_limit * 6 + number_limit > room) {
    is_truncated_ = true;
    return;
  }
  append_name(name);
  if (const auto* text = std::get_if<std::string_view>(&value.get())) {
    append_text(*text, room);
  } else {
    append_number(value.get());
  }
}

/// A field may not repeat a member the line has anyway.
void log_line::append_name(std::string_view name) {
  text_ += ',';
  if (is_reserved(name)) {
    text_.append("\"field_").append(name).append("\"");
  } else {
    append_text(name, name_limit);
  }
  text_ += ':';
}

/// A JSON string of at most `longest` bytes of `text`, as much of it as the line has room for.
void log_line::append_text(std::string_view text, std::size_t longest) {
  constexpr std::string_view replacement = "\xef\xbf\xbd";
  const std::size_t end = std::min(room - 1, text_.size() + longest);
  std::array<char, 6> space{};
  text_ += '"';
  while (!text.empty()) {
    const std::size_t length = utf8_sequence(text);
    const std::string_view piece = length == 0 ? replacement : escaped(text.substr(0, length), space);
    if (text_.size() + piece.size() > end) {
      is_truncated_ = true;
      break;
    }
    text_ += piece;
    text.remove_prefix(std::max<std::size_t>(1, length));
  }
  text_ += '"';
}

void log_line::append_number(const log_value::variant& value) {
  std::array<char, number_limit> digits{};
  std::visit(
      [&](const auto& v) {
        using type = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<type, bool>) {
          text_ += v ? "true" : "false";
        } else if constexpr (!std::is_same_v<type, std::string_view>) {
          if (std::is_same_v<type, double> && !std::isfinite(static_cast<double>(v))) {
            text_ += "null";  // JSON has no NaN and no infinity (RFC 8259 section 6)
            return;
          }
          const auto [end, failure] = std::to_chars(digits.data(), digits.data() + digits.size(), v);
          text_.append(digits.data(), end);
        }
      },
      value);
}

std::string log_line::finish() {
  text_ += is_truncated_ ? truncated_end : std::string_view{"}\n"};
  return std::move(text_);
}

}  // namespace pam::runtime
