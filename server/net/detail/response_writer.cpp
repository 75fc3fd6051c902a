#include "server/net/detail/response_writer.hpp"

#include <algorithm>
#include <charconv>

#include <boost/beast/http/status.hpp>

namespace pam::net::detail {
namespace {

void append_number(std::string& to, std::uint64_t value) {
  std::array<char, 20> digits{};
  const char* const end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
  to.append(digits.data(), static_cast<std::size_t>(end - digits.data()));
}

std::string_view reason(unsigned status) {
  const auto text = boost::beast::http::obsolete_reason(boost::beast::http::int_to_status(status));
  return {text.data(), text.size()};
}

void append_clean(std::string& to, std::string_view value) {
  const std::size_t begin = to.size();
  to += value;
  const auto is_control = [](char c) {
    const auto code = static_cast<unsigned char>(c);
    return (code < ' ' && c != '\t') || code == 0x7f;
  };
  std::replace_if(to.begin() + static_cast<std::ptrdiff_t>(begin), to.end(), is_control, ' ');
}

constexpr bool has_no_content(unsigned status) {
  return status < 200 || status == 204 || status == 304;
}

void two_digits(char* at, int value) {
  at[0] = static_cast<char>('0' + value / 10 % 10);
  at[1] = static_cast<char>('0' + value % 10);
}

}  // namespace

std::array<char, 29> format_http_date(std::time_t seconds) {
  constexpr std::string_view days = "SunMonTueWedThuFriSat";
  constexpr std::string_view months = "JanFebMarAprMayJunJulAugSepOctNovDec";
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  std::array<char, 29> text{};
  constexpr std::string_view shape = "Day, 00 Mon 0000 00:00:00 GMT";
  std::copy(shape.begin(), shape.end(), text.begin());
  std::copy_n(days.begin() + std::ptrdiff_t{parts.tm_wday} * 3, 3, text.begin());
  two_digits(&text[5], parts.tm_mday);
  std::copy_n(months.begin() + std::ptrdiff_t{parts.tm_mon} * 3, 3, text.begin() + 8);
  const int year = parts.tm_year + 1900;
  two_digits(&text[12], year / 100);
  two_digits(&text[14], year % 100);
  two_digits(&text[17], parts.tm_hour);
  two_digits(&text[20], parts.tm_min);
  two_digits(&text[23], parts.tm_sec);
  return text;
}

response_writer::response_writer(std::chrono::milliseconds keep_alive) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(keep_alive).count();
  keep_alive_line_ = "\r\nConnection: keep-alive";
  // A promise below a second cannot be expressed; "timeout=0" would read as "closed".
  if (seconds > 0) keep_alive_line_ += "\r\nKeep-Alive: timeout=" + std::to_string(seconds);
}

std::string_view response_writer::write(const request_context& request, bool keeps_alive,
                                        std::chrono::system_clock::time_point now, std::string& to) {
  const response& out = request.out;
  const std::string_view content = out.content();
  const bool has_length = !has_no_content(out.status);
  const bool has_body = has_length && request.verb != method::head;
  const bool is_joined = content.size() <= largest_joined_body;
  const std::string_view body = has_body ? content : std::string_view{};
  const kept& head = opening({.second = std::chrono::system_clock::to_time_t(now),
                              .status = out.status,
                              .keeps_alive = keeps_alive,
                              .is_tls = request.is_tls,
                              .no_store = out.no_store,
                              .content_type = has_length && !content.empty() ? out.content_type : ""});
  const std::size_t begin = to.size();
  to.reserve(begin + head.text.size() + 256 + (is_joined ? body.size() : 0));
  to += head.text;
  request.id().copy(to.data() + begin + head.id_at, request.id().size());
  if (has_length) append_number(to, content.size());
  for (const auto& [name, value] : out.headers) {
    to += "\r\n";
    to += name;
    to += ": ";
    append_clean(to, value);
  }
  to += "\r\n\r\n";
  if (!is_joined) return body;
  to += body;
  return {};
}

const response_writer::kept& response_writer::opening(const shape& of) {
  kept& last = kept_[of.status == 200 ? 0 : 1];
  if (last.of == of) return last;
  last.of = {};  // in case that there is no memory for the text
  std::string& text = last.text;
  text = "HTTP/1.1 ";
  append_number(text, of.status);
  text += ' ';
  text += reason(of.status);
  text += "\r\nDate: ";
  const std::array<char, 29> date = format_http_date(of.second);
  text.append(date.data(), date.size());
  text += of.keeps_alive ? std::string_view(keep_alive_line_) : "\r\nConnection: close";
  text += "\r\nX-Content-Type-Options: nosniff";
  if (of.is_tls) text += "\r\nStrict-Transport-Security: max-age=31536000";
  if (of.no_store) text += "\r\nCache-Control: no-store";
  text += "\r\nX-Request-Id: ";
  last.id_at = text.size();
  text.append(request_context{}.id().size(), '-');
  if (!of.content_type.empty()) {
    text += "\r\nContent-Type: ";
    text += of.content_type;
  }
  if (!has_no_content(of.status)) text += "\r\nContent-Length: ";
  last.of = of;
  return last;
}

}  // namespace pam::net::detail
