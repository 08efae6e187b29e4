"""The fixed parts of a Kotlin program."""

_WORDS = """
as break class continue do else false for fun if in interface is null object package return super
this throw true try typealias typeof val var when while Model Result interpreter inputs outputs step
reset close last model feeds truth budgets name result t it
"""
RESERVED = tuple(_WORDS.split())

MODEL = """\
package com.example.rnnstarter

import java.nio.ByteBuffer
import java.nio.FloatBuffer
import java.nio.IntBuffer
import java.nio.LongBuffer
import org.tensorflow.lite.Interpreter

/**
 * @MODEL@ on LiteRT, one step of one sequence at a time.
 *
 * The states stay in the object. Copy the arrays to save them, and assign them to resume.
 * One object serves one thread at a time.
 */
class Model(file: ByteBuffer) : AutoCloseable {
    class Result(@RESULT@)

    private val interpreter = Interpreter(file)
@STATES@

    fun reset() {
@RESET@
    }

    fun step(@ARGUMENTS@): Result {
        val inputs = mapOf<String, Any>(
@INPUTS@,
        )
@BUFFERS@
        val outputs = mapOf<String, Any>(
@OUTPUTS@,
        )
        interpreter.runSignature(inputs, outputs, "step")
@MOVED@
        return Result(@VALUES@)
    }

    override fun close() = interpreter.close()
}
"""
SELF_CHECK = """\
package com.example.rnnstarter

import java.nio.ByteBuffer
import kotlin.math.abs

/** Golden vectors of the original model, step by step. golden.bin: float64, little endian. */
class SelfCheck(private val golden: ByteBuffer, private val model: Model) {
    private val faults = mutableListOf<String>()

    /** Return what is wrong: nothing, if outputs and states are within their budgets. */
    fun run(): List<String> {
        for (name in listOf(@CASES@)) {
            golden.getDouble() // the batch, which is 1
            val steps = golden.getDouble().toInt()
            val feeds = List(@FEEDS@) { list() }
            val budgets = mutableListOf<Double>()
            val truth = List(@TRUTHS@) {
                budgets.add(golden.getDouble())
                list()
            }
            model.reset()
@BEGIN@
            var last: Model.Result? = null
            for (t in 0 until steps) {
                val result = model.step(
@STEP@,
                )
                last = result
@COMPARED@
            }
            if (last == null) continue
@LAST@
        }
        return faults
    }

    private fun list() = List(golden.getDouble().toInt()) { golden.getDouble() }

    private fun differs(
        title: String, name: String, found: List<Double>, wanted: List<Double>, budget: Double,
    ) {
        if (found.size != wanted.size) {
            faults.add("$title: $name has ${found.size} values, expected ${wanted.size}")
            return
        }
        for (i in found.indices) {
            val same = found[i] == wanted[i] || (found[i].isNaN() && wanted[i].isNaN())
            if (!same && !(abs(found[i] - wanted[i]) <= budget)) {
                faults.add("$title: $name[$i] is ${found[i]}, expected ${wanted[i]} within $budget")
                return
            }
        }
    }
}
"""
ACTIVITY = """\
package com.example.rnnstarter

import android.app.Activity
import android.os.Bundle
import android.widget.TextView
import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.concurrent.thread

class MainActivity : Activity() {
    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        val view = TextView(this)
        view.text = "checking the model"
        view.setPadding(48, 96, 48, 48)
        view.setTextIsSelectable(true)
        setContentView(view)
        thread {
            val text = try {
                check()
            } catch (error: Exception) {
                "FAILED: $error"
            }
            runOnUiThread { view.text = text }
        }
    }

    private fun check(): String = Model(asset("model.tflite")).use { model ->
        val faults = SelfCheck(asset("golden.bin").order(ByteOrder.LITTLE_ENDIAN), model).run()
        if (faults.isEmpty()) "passed: outputs and states are right" else {
            "FAILED\\n" + faults.joinToString("\\n")
        }
    }

    private fun asset(name: String): ByteBuffer {
        val bytes = assets.open(name).use { it.readBytes() }
        val buffer = ByteBuffer.allocateDirect(bytes.size).order(ByteOrder.nativeOrder())
        buffer.put(bytes).rewind()
        return buffer
    }
}
"""
MANIFEST = """\
<?xml version="1.0" encoding="utf-8"?>
<manifest xmlns:android="http://schemas.android.com/apk/res/android">
    <application android:label="RNN starter">
        <activity android:name=".MainActivity" android:exported="true">
            <intent-filter>
                <action android:name="android.intent.action.MAIN" />
                <category android:name="android.intent.category.LAUNCHER" />
            </intent-filter>
        </activity>
    </application>
</manifest>
"""
APP_BUILD = """\
plugins {
    id("com.android.application")
    id("org.jetbrains.kotlin.android")
}

android {
    namespace = "com.example.rnnstarter"
    compileSdk = 35

    defaultConfig {
        applicationId = "com.example.rnnstarter"
        minSdk = 24
        targetSdk = 35
        versionCode = 1
        versionName = "1.0"
    }
    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }
    kotlinOptions {
        jvmTarget = "17"
    }
}

dependencies {
    implementation("com.google.ai.edge.litert:litert:1.4.0")
}
"""
BUILD = """\
plugins {
    id("com.android.application") version "8.7.3" apply false
    id("org.jetbrains.kotlin.android") version "2.0.21" apply false
}
"""
SETTINGS = """\
pluginManagement {
    repositories {
        google()
        mavenCentral()
        gradlePluginPortal()
    }
}
dependencyResolutionManagement {
    repositories {
        google()
        mavenCentral()
    }
}
rootProject.name = "rnn-starter"
include(":app")
"""
README = """\
# @MODEL@ on Android

Open this folder in Android Studio and run the app. It runs golden vectors of the original model on
the phone, step by step, and shows `passed`, or each value that is wrong.

| file | what it is |
|---|---|
| Model.kt | the class `Model`: copy it, with `model.tflite` in the assets, into your app |
| SelfCheck.kt, golden.bin | golden vectors with their budgets; not part of your app |
| MainActivity.kt | an app that shows the self-check |

```kotlin
val model = Model(buffer)  // a direct ByteBuffer with model.tflite
val result = model.step(...)  // the arrays of one step; the states stay in the model
```

`Model` needs `com.google.ai.edge.litert:litert`, version 1.4 or newer.@PREPARATION@
"""
