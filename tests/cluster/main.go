// One binary holding a Kubernetes control plane and node, for tests.
//
// It acts as the component named by its first argument, or by the name it was
// called by (a symbolic link), and hands all other arguments on.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	_ "time/tzdata" // CronJob time zones

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

var components = map[string]func(args []string) int{
	"etcd":                    etcd,
	"kube-apiserver":          run(apiserver.NewAPIServerCommand),
	"kube-controller-manager": run(controllermanager.NewControllerManagerCommand),
	"kube-proxy":              run(proxy.NewProxyCommand),
	"kube-scheduler":          run(func() *cobra.Command { return scheduler.NewSchedulerCommand() }),
	"kubelet":                 run(func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) }),
}

func main() {
	args := slices.Clone(os.Args)
	args[0] = filepath.Base(args[0])
	start, known := components[args[0]]
	if !known && len(args) > 1 {
		args = args[1:]
		start, known = components[args[0]]
	}
	if !known {
		fmt.Fprintln(os.Stderr, "usage: COMPONENT [FLAG...], where COMPONENT is one of:", names())
		os.Exit(2)
	}
	// cobra and klog read the process's arguments by themselves.
	os.Args = args
	os.Exit(start(args))
}

func run(command func() *cobra.Command) func([]string) int {
	return func(args []string) int {
		c := command()
		c.SetArgs(args[1:])
		return cli.Run(c)
	}
}

func etcd(args []string) int {
	etcdmain.Main(args)
	return 0
}

func names() string {
	var all []string
	for name := range components {
		all = append(all, name)
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}
