package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// pickCores returns the core for servers and the one for the generator: the
// same where this process may use only one.
func pickCores() (server, generator int) {
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		return -1, -1
	}
	server, generator = -1, -1
	for core := range 8 * 1024 {
		if !allowed.IsSet(core) {
			continue
		}
		if server < 0 {
			server = core
		}
		generator = core
		if generator != server {
			break
		}
	}
	return server, generator
}

// pin confines all threads of this process to a core; those to come inherit it.
func pin(core int) error {
	var set unix.CPUSet
	set.Set(core)
	for range 2 { // a thread may begin while we go through them
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		for _, thread := range threads {
			id, err := strconv.Atoi(thread.Name())
			if err != nil {
				return err
			}
			if err := unix.SchedSetaffinity(id, &set); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("pin to core %d: %w", core, err)
			}
		}
	}
	return nil
}

// onCore starts a process that is confined to a core from its first
// instruction on: it inherits that from the thread that starts it.
func onCore(core int, start func() error) error {
	if core < 0 {
		return start()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return err
	}
	set.Set(core)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return err
	}
	return errors.Join(start(), unix.SchedSetaffinity(0, &before))
}

// cpuTime is the CPU time of a process so far, of all its threads and what the
// kernel did for it.
func cpuTime(pid int) (time.Duration, error) {
	var t unix.Timespec
	// The process's own clock: see clock_getcpuclockid(3).
	if err := unix.ClockGettime(int32(^pid)<<3|2, &t); err != nil {
		return 0, fmt.Errorf("CPU time of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}

// endedTime is the CPU time of a process's children that have ended.
func endedTime(pid int) (time.Duration, error) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, err
	}
	// The name before, in parentheses, may hold anything. See proc_pid_stat(5).
	const user, system = 16 - 3, 17 - 3
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) <= system {
		return 0, fmt.Errorf("what process %d takes is told as %q", pid, stat)
	}
	var sum time.Duration
	for _, field := range []string{fields[user], fields[system]} {
		ticks, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(ticks) * (time.Second / 100) // as for all of Linux's programs
	}
	return sum, nil
}

// networkThread is the process, 0 for none, in which the kernel takes in a
// core's packets when there are many. What a server writes to a socket of this
// machine is then delivered there, and no longer in the write.
func networkThread(core int) int {
	names, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		return 0
	}
	for _, name := range names {
		comm, err := os.ReadFile(name)
		if err != nil || strings.TrimSpace(string(comm)) != "ksoftirqd/"+strconv.Itoa(core) {
			continue // or it has ended meanwhile
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name))); err == nil {
			return pid
		}
	}
	return 0
}

// residentMemory is the memory of a process that is not swapped out or given
// back, in bytes.
func residentMemory(pid int) (float64, error) {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(status) {
		if rest, ok := bytes.CutPrefix(line, []byte("VmRSS:")); ok {
			kilobytes, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(string(rest)), " kB"), 64)
			return kilobytes * 1024, err
		}
	}
	return 0, fmt.Errorf("process %d has no VmRSS", pid)
}

// ticker ticks at even intervals of less than a millisecond too, which Go's own
// timers round up when nothing else is to do.
type ticker struct{ file *os.File }

func newTicker(every time.Duration) (*ticker, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	t := &ticker{os.NewFile(uintptr(fd), "timer")}
	interval := unix.NsecToTimespec(every.Nanoseconds())
	if err := unix.TimerfdSettime(fd, 0, &unix.ItimerSpec{Interval: interval, Value: interval}, nil); err != nil {
		return nil, errors.Join(err, t.file.Close())
	}
	return t, nil
}

// wait returns how many ticks there were since it was called last, at least one.
func (t *ticker) wait() (int, error) {
	var count [8]byte
	if _, err := t.file.Read(count[:]); err != nil {
		return 0, err
	}
	return int(binary.NativeEndian.Uint64(count[:])), nil
}

func (t *ticker) stop() error { return t.file.Close() }

// openFiles is how many files a process may have open.
func openFiles() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 256
	}
	return int(min(limit.Cur, 1<<20))
}

func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(text))[:3], " ")
}

func machine() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown processor"
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown processor"
}

// diskOf says what kind of file system a folder is on. A commit to one in
// memory waits for nothing, and says nothing.
func diskOf(dir string) string {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return "unknown file system"
	}
	switch fs.Type {
	case unix.TMPFS_MAGIC:
		return "stores IN MEMORY (tmpfs): nothing is durable, choose another -dir"
	case unix.EXT4_SUPER_MAGIC:
		return "stores on ext4"
	case unix.XFS_SUPER_MAGIC:
		return "stores on xfs"
	case unix.BTRFS_SUPER_MAGIC:
		return "stores on btrfs"
	case unix.OVERLAYFS_SUPER_MAGIC:
		return "stores on overlayfs"
	default:
		return fmt.Sprintf("stores on a file system of type %#x", fs.Type)
	}
}
