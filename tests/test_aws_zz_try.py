import json
from pathlib import Path
import cdk.aws
from cdktf import App
from stacks.aws import AwsCluster
from tests.support.plans import example_plan
from provider_catalog.catalog import Catalog
from planner.plan import Purchase

def test_all(terraform, aws, tmp_path):
    app=App(outdir=str(tmp_path/"cdktf.out"))
    AwsCluster(protect_data=False).build(app, example_plan(nodes=7,multi_node=True,purchase=Purchase(reserved_nodes=4,on_demand_nodes=2,spot_nodes=1)), Catalog.load())
    app.synth()
    (tmp_path/"state").mkdir()
    tf=terraform.with_env(aws.env)
    dirs=[tmp_path/"cdktf.out"/"stacks"/f"example-{r}" for r in ("network","storage","compute")]
    for d in dirs:
        aws.write_override(d)
        import time; print(time.time(),flush=True); tf.init(d); print("init",time.time(),flush=True); assert tf.validate(d)==[]
        tf.apply(d)
        import time; print(time.time(), d.name, tf.changes(d), flush=True)
    for d in reversed(dirs):
        tf.destroy(d); print(tf.state(d))
    assert 0
