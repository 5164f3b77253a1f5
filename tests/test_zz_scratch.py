import time
from pathlib import Path
HCL='''
terraform {
  required_providers {
    aws = { source = "hashicorp/aws", version = "5.100.0" }
  }
}
provider "aws" { region = "us-east-1" }
resource "aws_vpc" "v" { cidr_block = "10.0.0.0/16" }
resource "aws_subnet" "s" {
  vpc_id = aws_vpc.v.id
  cidr_block = "10.0.0.0/24"
}
resource "aws_placement_group" "p" {
  name = "pg"
  strategy = "cluster"
  tags = { a = "b" }
}
resource "aws_s3_bucket" "b" { bucket_prefix = "ckpt-" }
resource "aws_ec2_capacity_reservation" "c" {
  instance_type = "p4d.24xlarge"
  instance_platform = "Linux/UNIX"
  availability_zone = "us-east-1a"
  instance_count = 2
  instance_match_criteria = "targeted"
  tags = { a = "b" }
}
resource "aws_fsx_lustre_file_system" "f" {
  storage_capacity = 1200
  subnet_ids = [aws_subnet.s.id]
  deployment_type = "PERSISTENT_2"
  per_unit_storage_throughput = 250
  file_system_type_version = "2.15"
  data_compression_type = "LZ4"
  metadata_configuration { mode = "AUTOMATIC" }
  tags = { Name = "x" }
}
output "mount" { value = aws_fsx_lustre_file_system.f.mount_name }
'''
def test_it(terraform, aws, tmp_path):
    (tmp_path/"main.tf").write_text(HCL)
    aws.write_override(tmp_path)
    tf=terraform.with_env(aws.env)
    t=time.time()
    def lap(n):
        nonlocal t; print(n, round(time.time()-t,1)); t=time.time()
    tf.init(tmp_path); lap("init")
    assert tf.validate(tmp_path)==[]; lap("validate")
    tf.plan(tmp_path); lap("plan")
    tf.apply(tmp_path); lap("apply")
    print(tf.state(tmp_path))
    c = tf.changes(tmp_path); lap("plan2")
    import json
    if c: print(json.dumps(tf.show_json(tmp_path,"test.tfplan")["resource_changes"],indent=1))
    assert c=={}
    tf.destroy(tmp_path); lap("destroy")
    assert tf.state(tmp_path)==[]
