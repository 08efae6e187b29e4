"""The fixed parts of a Swift program."""

_WORDS = """
associatedtype class deinit enum extension fileprivate func import init inout internal let open
operator private precedencegroup protocol public rethrows static struct subscript typealias var
break case catch continue default defer do else fallthrough for guard if in repeat return throw
switch where while Any as await catch false is nil self Self super throws true try Model Result
interpreter runner step reset data values last model feeds truth budgets name result t path
"""
RESERVED = tuple(_WORDS.split())

MODEL = """\
import Foundation
import TensorFlowLite

/// @MODEL@ on LiteRT, one step of one sequence at a time.
///
/// The states stay in the object. Copy the arrays to save them, and assign them to resume.
/// One object serves one thread at a time.
final class Model {
    struct Result {
@RESULT@
    }

    private let runner: SignatureRunner
@STATES@

    init(path: String) throws {
        runner = try Interpreter(modelPath: path).signatureRunner(with: "step")
    }

    func reset() {
@RESET@
    }

    func step(@ARGUMENTS@) throws -> Result {
        try runner.invoke(with: [
@INPUTS@,
        ])
@MOVED@
        return Result(@VALUES@)
    }

    private static func data<T>(_ values: [T]) -> Data {
        return values.withUnsafeBufferPointer { Data(buffer: $0) }
    }

    private func values<T>(_ name: String) throws -> [T] {
        let data = try runner.output(named: name).data
        return data.withUnsafeBytes { Array($0.bindMemory(to: T.self)) }
    }
}
"""
SELF_CHECK = """\
import Foundation

/// Golden vectors of the original model, step by step. golden.bin: float64, little endian.
final class SelfCheck {
    private let golden: Data
    private let model: Model
    private var place = 0
    private var faults: [String] = []

    init(golden: Data, model: Model) {
        self.golden = golden
        self.model = model
    }

    /// Return what is wrong: nothing, if outputs and states are within their budgets.
    func run() throws -> [String] {
        for name in [@CASES@] {
            _ = next()  // the batch, which is 1
            let steps = Int(next())
            let feeds = (0..<@FEEDS@).map { _ in list() }
            var budgets: [Double] = []
            var truth: [[Double]] = []
            for _ in 0..<@TRUTHS@ {
                budgets.append(next())
                truth.append(list())
            }
            model.reset()
@BEGIN@
            var lastResult: Model.Result?
            for t in 0..<steps {
                let result = try model.step(
@STEP@
                )
                lastResult = result
@COMPARED@
            }
            guard let last = lastResult else { continue }
            _ = last
@LAST@
        }
        return faults
    }

    private func next() -> Double {
        var bits: UInt64 = 0
        for i in 0..<8 { bits |= UInt64(golden[place + i]) << UInt64(8 * i) }
        place += 8
        return Double(bitPattern: bits)
    }

    private func list() -> [Double] {
        let count = Int(next())
        return (0..<count).map { _ in next() }
    }

    private func differs(
        _ title: String, _ name: String, _ found: [Double], _ wanted: [Double], _ budget: Double
    ) {
        guard found.count == wanted.count else {
            faults.append("\\(title): \\(name) has \\(found.count) values, not \\(wanted.count)")
            return
        }
        for i in found.indices {
            let same = found[i] == wanted[i] || (found[i].isNaN && wanted[i].isNaN)
            if !same && !(abs(found[i] - wanted[i]) <= budget) {
                let expected = "expected \\(wanted[i]) within \\(budget)"
                faults.append("\\(title): \\(name)[\\(i)] is \\(found[i]), \\(expected)")
                return
            }
        }
    }
}
"""
APP = """\
import SwiftUI

@main
struct StarterApp: App {
    var body: some Scene {
        WindowGroup { CheckView() }
    }
}

struct CheckView: View {
    @State private var text = "checking the model"

    var body: some View {
        ScrollView { Text(text).padding() }
            .task { text = CheckView.check() }
    }

    static func check() -> String {
        do {
            guard let model = Bundle.main.path(forResource: "model", ofType: "tflite"),
                let golden = Bundle.main.url(forResource: "golden", withExtension: "bin")
            else { return "FAILED: the app lacks model.tflite or golden.bin" }
            let vectors = try Data(contentsOf: golden)
            let faults = try SelfCheck(golden: vectors, model: try Model(path: model)).run()
            if faults.isEmpty { return "passed: outputs and states are right" }
            return "FAILED\\n" + faults.joined(separator: "\\n")
        } catch {
            return "FAILED: \\(error)"
        }
    }
}
"""
PROJECT = """\
# For XcodeGen: xcodegen generate
name: Starter
options:
  bundleIdPrefix: com.example
targets:
  Starter:
    type: application
    platform: iOS
    deploymentTarget: "15.0"
    sources: [Starter]
    settings:
      GENERATE_INFOPLIST_FILE: YES
"""
PODFILE = """\
platform :ios, '15.0'

target 'Starter' do
  use_frameworks!
  pod 'TensorFlowLiteSwift', '~> 2.17'
end
"""
README = """\
# @MODEL@ on iOS

```sh
xcodegen generate    # makes Starter.xcodeproj (brew install xcodegen)
pod install          # adds LiteRT: the pod TensorFlowLiteSwift
open Starter.xcworkspace
```

Run the app. It runs golden vectors of the original model on the phone, step by step, and shows
`passed`, or each value that is wrong.

| file | what it is |
|---|---|
| Model.swift | the class `Model`: copy it, with `model.tflite`, into your app |
| SelfCheck.swift, golden.bin | golden vectors with their budgets; not part of your app |
| StarterApp.swift | an app that shows the self-check |

```swift
let model = try Model(path: path)
let result = try model.step(...)  // the arrays of one step; the states stay in the model
```
@PREPARATION@
"""
