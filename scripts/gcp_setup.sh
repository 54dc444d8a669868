#!/usr/bin/env bash
# Sets up a Google Cloud project for target bigquery: APIs, datasets, bucket, a service account with the
# least roles, and workload identity for GitHub Actions. Without --run it only prints the commands.
# What is there already stays as it is, so it may be run again.
#
#     PROJECT=my-project BUCKET=my-bucket REPOSITORY=me/nyc_tlc scripts/gcp_setup.sh [--run]
#
# PROJECT     the project, with billing
# LOCATION    of datasets and bucket; default US
# BUCKET      a new name for the bucket that loads go through; without it there is none
# REPOSITORY  owner/name on GitHub, for its workflows; without it they get no access
# STORAGE     PHYSICAL to be billed for compressed bytes (docs/bigquery.md); default LOGICAL
# PREFIX      TLC_SCHEMA_PREFIX; default none
set -euo pipefail

project=${PROJECT:?set PROJECT to the project that has billing}
location=${LOCATION:-US}
bucket=${BUCKET:-}
repository=${REPOSITORY:-}
storage=${STORAGE:-LOGICAL}
account="nyc-tlc@$project.iam.gserviceaccount.com"
member="serviceAccount:$account"
case ${1:-} in
    --run) runs=true ;;
    '') runs=false ;;
    *)
        echo "usage: PROJECT=my-project $0 [--run]" >&2
        exit 2
        ;;
esac

# Prints a command as a shell reads it, and runs it if asked.
do_it() {
    printf '%s' "$1"
    printf ' %q' "${@:2}"
    printf '\n'
    if $runs; then "$@"; fi
}

# Whether something is there, by a command that fails when it isn't. Nothing is asked to print only.
is_there() {
    $runs && "$@" > /dev/null 2>&1
}

if $runs && [ "$(gcloud billing projects describe "$project" --format='value(billingEnabled)')" != True ]; then
    echo "billing is off for $project: enable it at https://console.cloud.google.com/billing" >&2
    exit 1
fi

do_it gcloud services enable bigquery.googleapis.com storage.googleapis.com iam.googleapis.com \
    iamcredentials.googleapis.com sts.googleapis.com --project="$project"

is_there gcloud iam service-accounts describe "$account" --project="$project" ||
    do_it gcloud iam service-accounts create nyc-tlc --project="$project" --display-name=nyc_tlc
do_it gcloud projects add-iam-policy-binding "$project" --member="$member" \
    --role=roles/bigquery.jobUser --condition=None

# In them nothing expires; the account may write there and nowhere else.
for name in tlc_raw tlc_staging tlc tlc_marts; do
    dataset="${PREFIX:-}$name"
    is_there bq show --dataset "$project:$dataset" ||
        do_it bq --location="$location" mk --dataset --storage_billing_model="$storage" \
            "$project:$dataset"
    do_it bq query --project_id="$project" --location="$location" --use_legacy_sql=false \
        "alter schema \`$project.$dataset\` set options (default_partition_expiration_days = null, \
default_table_expiration_days = null); grant \`roles/bigquery.dataEditor\` on schema \`$project.$dataset\` to '$member'"
done

if [ -n "$bucket" ]; then
    is_there gcloud storage buckets describe "gs://$bucket" ||
        do_it gcloud storage buckets create "gs://$bucket" --project="$project" \
            --location="$location" --uniform-bucket-level-access
    # What a killed run leaves there goes after three days.
    rule='{"rule": [{"action": {"type": "Delete"}, "condition": {"age": 3, "matchesPrefix": ["staging/"]}}]}'
    file=${TMPDIR:-/tmp}/nyc_tlc_lifecycle.json
    echo "echo '$rule' > $file"
    if $runs; then echo "$rule" > "$file"; fi
    do_it gcloud storage buckets update "gs://$bucket" --lifecycle-file="$file"
    do_it gcloud storage buckets add-iam-policy-binding "gs://$bucket" --member="$member" \
        --role=roles/storage.objectAdmin
fi

if [ -n "$repository" ]; then
    number=PROJECT_NUMBER
    if $runs; then number=$(gcloud projects describe "$project" --format='value(projectNumber)'); fi
    pool="projects/$number/locations/global/workloadIdentityPools/github"
    at=(--project="$project" --location=global)
    is_there gcloud iam workload-identity-pools describe github "${at[@]}" ||
        do_it gcloud iam workload-identity-pools create github "${at[@]}"
    # Only this repository's workflows are let in.
    is_there gcloud iam workload-identity-pools providers describe nyc-tlc "${at[@]}" \
        --workload-identity-pool=github ||
        do_it gcloud iam workload-identity-pools providers create-oidc nyc-tlc "${at[@]}" \
            --workload-identity-pool=github --issuer-uri=https://token.actions.githubusercontent.com \
            --attribute-mapping=google.subject=assertion.sub,attribute.repository=assertion.repository \
            --attribute-condition="assertion.repository == '$repository'"
    do_it gcloud iam service-accounts add-iam-policy-binding "$account" --project="$project" \
        --role=roles/iam.workloadIdentityUser \
        --member="principalSet://iam.googleapis.com/$pool/attribute.repository/$repository"
fi

echo
echo '# for .env, and for the variables of the repository'
echo "TLC_TARGET=bigquery"
echo "GOOGLE_CLOUD_PROJECT=$project"
echo "BIGQUERY_LOCATION=$location"
[ -z "$bucket" ] || echo "TLC_BUCKET=gs://$bucket"
[ -z "${PREFIX:-}" ] || echo "TLC_SCHEMA_PREFIX=$PREFIX"
if [ -n "$repository" ]; then
    echo "GCP_SERVICE_ACCOUNT=$account"
    echo "GCP_WORKLOAD_IDENTITY_PROVIDER=$pool/providers/nyc-tlc"
fi
