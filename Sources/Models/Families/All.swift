extension Architecture {
  /// Every family, one line each.
  public static let all: [Architecture] = [
    .miniMaxM2
  ]
}
