/// A piece of a template.
struct Token {
  enum Kind: Equatable {
    /// Text outside of tags.
    case data(Text)
    case variableBegin, variableEnd, blockBegin, blockEnd
    case name(String)
    case text(Text)
    case integer(BigInt)
    case float(Double)
    case symbol(Symbol)
    case end
  }
  var kind: Kind
  var line: Int

  enum Symbol: String {
    case add = "+"
    case subtract = "-"
    case multiply = "*"
    case power = "**"
    case divide = "/"
    case divideDown = "//"
    case remainder = "%"
    case concatenate = "~"
    case openBracket = "["
    case closeBracket = "]"
    case open = "("
    case close = ")"
    case openBrace = "{"
    case closeBrace = "}"
    case equal = "=="
    case unequal = "!="
    case less = "<"
    case lessOrEqual = "<="
    case greater = ">"
    case greaterOrEqual = ">="
    case assign = "="
    case dot = "."
    case colon = ":"
    case pipe = "|"
    case comma = ","
    case semicolon = ";"
  }

  /// For error messages.
  var description: String {
    switch kind {
    case .data: "text"
    case .variableBegin: "'{{'"
    case .variableEnd: "'}}'"
    case .blockBegin: "'{%'"
    case .blockEnd: "'%}'"
    case .name(let name): "'\(name)'"
    case .text: "a text"
    case .integer, .float: "a number"
    case .symbol(let symbol): "'\(symbol.rawValue)'"
    case .end: "the end of the template"
    }
  }
}
