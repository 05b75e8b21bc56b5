/// A time of day on a date, for what templates ask of today. It has no zone.
public struct TemplateTime: Sendable, Hashable {
  public var year: Int
  public var month: Int
  public var day: Int
  public var hour: Int
  public var minute: Int
  public var second: Int
  public var microsecond: Int

  /// - Precondition: a date of the Gregorian calendar in the years 1 to 9999, and a time of day.
  public init(
    year: Int, month: Int, day: Int, hour: Int = 0, minute: Int = 0, second: Int = 0, microsecond: Int = 0
  ) {
    precondition(1...9999 ~= year && 1...12 ~= month, "\(year)-\(month) is no month")
    precondition(1...TemplateTime.days(month, year) ~= day, "\(year)-\(month)-\(day) is no date")
    precondition(
      0..<24 ~= hour && 0..<60 ~= minute && 0..<60 ~= second, "\(hour):\(minute):\(second) is no time")
    precondition(0..<1_000_000 ~= microsecond, "\(microsecond) is no microsecond")
    self.year = year
    self.month = month
    self.day = day
    self.hour = hour
    self.minute = minute
    self.second = second
    self.microsecond = microsecond
  }

  private static func days(_ month: Int, _ year: Int) -> Int {
    let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
    return [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1]
  }

  /// The day of the year, from 0.
  var dayOfYear: Int { (1..<month).reduce(day - 1) { $0 + TemplateTime.days($1, year) } }

  /// Days since the first of January of the year 1, a Monday.
  private var ordinal: Int {
    let before = year - 1
    return before * 365 + before / 4 - before / 100 + before / 400 + dayOfYear
  }

  /// 0 for Monday.
  var weekday: Int { ordinal % 7 }

  /// Seconds since 1970 began, the time taken for UTC.
  var secondsSince1970: Int { ((ordinal - 719_162) * 24 + hour) * 3600 + minute * 60 + second }

  /// Year and week by ISO 8601.
  var isoWeek: (year: Int, week: Int) {
    let week = (dayOfYear - weekday + 9) / 7
    if week < 1 {
      let last = TemplateTime(year: max(year - 1, 1), month: 12, day: 31)
      return (year - 1, last.weekOfLongYear)
    }
    return week > weekOfLongYear ? (year + 1, 1) : (year, week)
  }

  /// The last week of this year: 53 when it begins or ends on a Thursday.
  private var weekOfLongYear: Int {
    let first = TemplateTime(year: year, month: 1, day: 1).weekday
    let last = TemplateTime(year: year, month: 12, day: 31).weekday
    return first == 3 || last == 3 ? 53 : 52
  }
}
