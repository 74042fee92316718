package millrace.nexmark;

import com.sun.management.OperatingSystemMXBean;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;

/** What one run took: from the first event that a source emits until the sink has the last result. CPU time is that of the whole process. */
final class Stopwatch {
  private static final OperatingSystemMXBean SYSTEM =
      (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();

  private static volatile boolean isRunning;
  private static long startNanos;
  private static long startCpuNanos;
  private static long endNanos;
  private static long endCpuNanos;

  private Stopwatch() {}

  static void start() {
    if (!isRunning) begin();
  }

  private static synchronized void begin() {
    if (isRunning) return;
    startNanos = System.nanoTime();
    startCpuNanos = SYSTEM.getProcessCpuTime();
    isRunning = true;
  }

  /** The last call counts. */
  static synchronized void end() {
    endNanos = System.nanoTime();
    endCpuNanos = SYSTEM.getProcessCpuTime();
  }

  static synchronized void reset() {
    isRunning = false;
  }

  static synchronized double seconds() {
    return (endNanos - startNanos) / 1e9;
  }

  static synchronized double cpuSeconds() {
    return (endCpuNanos - startCpuNanos) / 1e9;
  }

  static long peakRssBytes() throws IOException {
    for (String line : Files.readAllLines(Path.of("/proc/self/status")))
      if (line.startsWith("VmHWM:")) return Long.parseLong(line.replaceAll("\\D", "")) * 1024;
    return 0;
  }
}
