package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// enteredEnv marks the second life of the program, so that a failure to get rights cannot loop.
const enteredEnv = "WEIR_LAB_ENTERED"

// Enter makes sure that the program may make network namespaces. With the rights it returns at once. Without, it runs
// the program again as root of a new user namespace, waits, and exits with its status; it returns an error only when
// that is not allowed. Call it before any goroutine matters: first thing in main or TestMain.
func Enter() error {
	if canUnshare() {
		return nil
	}
	if os.Getenv(enteredEnv) != "" {
		return errors.New("no CAP_SYS_ADMIN and CAP_NET_ADMIN even in a user namespace: run as root")
	}
	runtime.LockOSThread() // the child dies with this thread, so the thread must last
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), enteredEnv+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	if err := cmd.Start(); err != nil {
		signal.Stop(signals)
		runtime.UnlockOSThread()
		return fmt.Errorf("user namespace: %w (run as root, or allow unprivileged user namespaces: "+
			"sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns)", err)
	}
	go func() {
		for sig := range signals {
			if sig != os.Interrupt { // the terminal has sent an interrupt to the child as well
				_ = cmd.Process.Signal(sig)
			}
		}
	}()
	_ = cmd.Wait()
	os.Exit(exitCode(cmd.ProcessState))
	return nil
}

// Entered says whether the program runs in the user namespace that Enter made, where /dev/net/tun may be closed.
func Entered() bool { return os.Getenv(enteredEnv) != "" }

// canUnshare tries what a lab needs, on a thread that is thrown away afterwards.
func canUnshare() bool {
	result := make(chan bool)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			result <- hasCap(unix.CAP_SYS_ADMIN) && hasCap(unix.CAP_NET_ADMIN) // this thread cannot be thrown away
			runtime.UnlockOSThread()
			return
		}
		result <- unix.Unshare(unix.CLONE_NEWNET) == nil
	}()
	return <-result
}

func hasCap(c uint) bool {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&hdr, &data[0]) != nil {
		return false
	}
	return data[c/32].Effective&(1<<(c%32)) != 0
}

func exitCode(st *os.ProcessState) int {
	if ws, ok := st.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return st.ExitCode()
}
