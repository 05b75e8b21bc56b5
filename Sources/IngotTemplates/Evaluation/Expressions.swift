struct NameEvaluation: Evaluation {
  let place: Scope.Place
  let name: String

  func value(in scope: Scope) throws(Fault) -> Value {
    scope[place] ?? .undefined(Undefined(.name(name)))
  }
}

struct ConstantEvaluation: Evaluation {
  let constant: Constant

  func value(in scope: Scope) throws(Fault) -> Value { constant.value }
}

struct ListEvaluation: Evaluation {
  let items: [any Evaluation]
  let isTuple: Bool

  func value(in scope: Scope) throws(Fault) -> Value {
    var values: [Value] = []
    values.reserveCapacity(items.count)
    for item in items { values.append(try item.value(in: scope)) }
    return isTuple ? try scope.run.tuple(values) : try scope.run.list(values)
  }
}

struct DictEvaluation: Evaluation {
  let pairs: [(key: any Evaluation, value: any Evaluation)]

  func value(in scope: Scope) throws(Fault) -> Value {
    var builder = DictBuilder()
    for pair in pairs {
      let key = try pair.key.value(in: scope)
      try builder.set(key, try pair.value.value(in: scope), scope.run)
    }
    let dict = builder.dict
    try scope.run.spend(dict.count)
    try scope.run.check(depth: dict.depth)
    return .dict(dict)
  }
}

/// `a ~ b`
struct ConcatenationEvaluation: Evaluation {
  let parts: [any Evaluation]
  let line: Int

  func value(in scope: Scope) throws(Fault) -> Value {
    try scope.run.spend(parts.count)
    var texts: [Text] = []
    for part in parts {
      let value = try part.value(in: scope)
      scope.run.line = line
      texts.append(try value.printed(scope.run))
    }
    return .text(try Text().joined(texts, scope.run))
  }
}

struct BinaryEvaluation: Evaluation {
  let operation: BinaryOperator
  let left: any Evaluation
  let right: any Evaluation
  let line: Int

  func value(in scope: Scope) throws(Fault) -> Value {
    let a = try left.value(in: scope)
    let b = try right.value(in: scope)
    scope.run.line = line
    return try operation.apply(a, b, scope.run)
  }
}

/// `and` and `or`, which give one of their values.
struct LogicalEvaluation: Evaluation {
  let left: any Evaluation
  let right: any Evaluation
  let isAnd: Bool

  func value(in scope: Scope) throws(Fault) -> Value {
    let first = try left.value(in: scope)
    try scope.run.spend(1)
    return try first.isTrue(scope.run) == isAnd ? try right.value(in: scope) : first
  }
}

struct NotEvaluation: Evaluation {
  let operand: any Evaluation

  func value(in scope: Scope) throws(Fault) -> Value {
    try scope.run.spend(1)
    return .bool(try !operand.value(in: scope).isTrue(scope.run))
  }
}

struct SignEvaluation: Evaluation {
  let operand: any Evaluation
  let isNegative: Bool
  let line: Int

  func value(in scope: Scope) throws(Fault) -> Value {
    let value = try operand.value(in: scope)
    scope.run.line = line
    try scope.run.spend(1)
    switch Number(value) {
    case .float(let number): return .float(isNegative ? -number : number)
    case .int(let number) where number != .min: return .int(isNegative ? -number : number)
    case .some(let number): return .integer(isNegative ? -number.integer! : number.integer!)
    case nil:
      if case .undefined(let undefined) = value { throw undefined.fault }
      throw Fault(expected: "a number behind a sign", found: "a value of type \(value.typeName)")
    }
  }
}

struct ComparisonEvaluation: Evaluation {
  let first: any Evaluation
  let rest: [(comparison: Comparison, value: any Evaluation)]
  let line: Int

  func value(in scope: Scope) throws(Fault) -> Value {
    var left = try first.value(in: scope)
    for (comparison, operand) in rest {
      let right = try operand.value(in: scope)
      scope.run.line = line
      try scope.run.spend(1)
      guard try comparison.holds(left, right, scope.run) else { return .bool(false) }
      left = right
    }
    return .bool(true)
  }
}

extension Comparison {
  func holds(_ a: Value, _ b: Value, _ run: Rendering) throws(Fault) -> Bool {
    switch self {
    case .equal: try a.isEqual(b, run)
    case .unequal: try !a.isEqual(b, run)
    case .less: try a.compare(.less, b, run)
    case .lessOrEqual: try a.compare(.lessOrEqual, b, run)
    case .greater: try a.compare(.greater, b, run)
    case .greaterOrEqual: try a.compare(.greaterOrEqual, b, run)
    case .contained: try a.isContained(in: b, run)
    case .notContained: try !a.isContained(in: b, run)
    }
  }
}

struct ConditionalEvaluation: Evaluation {
  let test: any Evaluation
  let then: any Evaluation
  let otherwise: (any Evaluation)?

  func value(in scope: Scope) throws(Fault) -> Value {
    try scope.run.spend(1)
    if try test.value(in: scope).isTrue(scope.run) { return try then.value(in: scope) }
    if let otherwise { return try otherwise.value(in: scope) }
    return .undefined(Undefined(.hint("a condition that does not hold, without 'else'")))
  }
}

struct MemberEvaluation: Evaluation {
  let object: any Evaluation
  let name: MemberName
  let line: Int

  func value(in scope: Scope) throws(Fault) -> Value {
    let value = try object.value(in: scope)
    scope.run.line = line
    try scope.run.spend(1)
    return try value.member(name, scope.run)
  }
}

struct ItemEvaluation: Evaluation {
  let object: any Evaluation
  let index: any Evaluation
  let line: Int

  func value(in scope: Scope) throws(Fault) -> Value {
    let value = try object.value(in: scope)
    let index = try index.value(in: scope)
    scope.run.line = line
    try scope.run.spend(1)
    return try value.item(index, scope.run)
  }
}

struct SliceEvaluation: Evaluation {
  let object: any Evaluation
  let start: (any Evaluation)?
  let stop: (any Evaluation)?
  let step: (any Evaluation)?
  let line: Int

  func value(in scope: Scope) throws(Fault) -> Value {
    let value = try object.value(in: scope)
    let bounds = (
      try start?.value(in: scope) ?? .null, try stop?.value(in: scope) ?? .null,
      try step?.value(in: scope) ?? .null
    )
    scope.run.line = line
    try scope.run.spend(1)
    return try value.slice(bounds.0, bounds.1, bounds.2, scope.run)
  }
}
