{#- The relation that the months were merged into. Each version to merge is built beside the table,
    becomes the month's partition or changes the rows of the one that is there, and is recorded in the
    ledger, all in one transaction. -#}
{% macro replace_file_months() %}
    {%- set table = this.incorporate(type='table') -%}
    {%- set existing = load_cached_relation(this) -%}
    {%- set dataset = dataset_of(this) -%}
    {%- set versions = versions_to_merge(dataset) -%}

    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}

    {%- do get_assert_columns_equivalent(sql) -%}
    {%- if existing is none -%}
        {%- do create_trips_table(table) -%}
    {%- else -%}
        {%- do append_new_columns(table) -%}
    {%- endif -%}

    {%- for version in versions -%}
        {%- do merge_file_month(table, dataset, version, sql) -%}
    {%- endfor -%}

    {%- call noop_statement('main', 'MERGED ' ~ versions | length) -%}{%- endcall -%}
    {%- do apply_grants(table, config.get('grants'), should_revoke=should_revoke(existing, full_refresh_mode=false)) -%}
    {%- do persist_docs(table, model) -%}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {%- if target.type == 'postgres' -%}{%- do adapter.commit() -%}{%- endif -%}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [table]}) }}
{% endmacro %}


{% macro create_trips_table(table) %}
    {{ return(adapter.dispatch('create_trips_table', 'nyc_tlc')(table)) }}
{% endmacro %}

{% macro default__create_trips_table(table) %}
    {%- call statement('create_table') -%}
        create table if not exists {{ table }} {{ get_table_columns_and_constraints() }}
        partition by list (file_month)
    {%- endcall -%}
{% endmacro %}

{% macro bigquery__create_trips_table(table) %}
    {%- call statement('create_table') -%}
        create table {{ table }} {{ get_table_columns_and_constraints() }}
        {{ partition_by(adapter.parse_partition_by(config.get('partition_by'))) }}
        {{ cluster_by(config.get('cluster_by')) }}
        {{ bigquery_table_options(config, model, false) }}
    {%- endcall -%}
{% endmacro %}


{#- Merges one version in one transaction. Stops before anything is changed when the number of rows built
    isn't the number landed. -#}
{% macro merge_file_month(table, dataset, version, model_sql) %}
    {{ return(adapter.dispatch('merge_file_month', 'nyc_tlc')(table, dataset, version, model_sql)) }}
{% endmacro %}

{% macro default__merge_file_month(table, dataset, version, model_sql) %}
    {%- set month = version.file_month -%}
    {%- set partition = partition_of(table, month) -%}
    {%- set built = table.incorporate(path={'identifier': partition.identifier ~ '__new'}) -%}

    {#- Two builds of one month take turns. -#}
    {%- call statement('lock') -%}
        select pg_advisory_xact_lock(hashtextextended('{{ partition }}', 0))
    {%- endcall -%}
    {#- The raw rows have no statistics yet: force hash joins and sorted grouping. Parallel workers
        compute the ids, which is worth passing their rows to the process that writes. -#}
    {%- call statement('plan') -%}
        set local enable_nestloop = off;
        set local enable_mergejoin = off;
        set local enable_hashagg = off;
        set local parallel_tuple_cost = 0;
        set local jit = off;
        set local work_mem = '256MB';
        -- the index's sort stays in the processor's cache
        set local maintenance_work_mem = '64MB';
        -- written pages go to the disk at once: the commit needn't wait for them
        set local backend_flush_after = '2MB';
        -- a build whose dbt was killed ends soon, and gives its locks back
        set local client_connection_check_interval = '2s'
    {%- endcall -%}

    {%- set types = types_of(table) -%}
    {%- set rows_sql -%}
        select {{ stored_values(types) }}
        from ({{ model_sql }}) as model
        where file_month = date '{{ month }}'
    {%- endset -%}
    {#- Asked of the server: dbt's cache is from before the build. -#}
    {%- set is_first = run_query("select to_regclass('" ~ partition ~ "')").rows[0][0] is none -%}
    {#- The month is built beside the table, in the same transaction as all that follows: nothing
        of it is left when the transaction ends early. -#}
    {%- call statement('build') -%}
        create table {{ built }} as
        {{ rows_sql if version.names_repeated_rows else numbered_rows(dataset, stored_columns(types), rows_sql) }}
    {%- endcall -%}
    {%- set rows = load_result('build').response.rows_affected -%}
    {%- if rows != version.landed_rows -%}
        {{ exceptions.raise_compiler_error(
            dataset ~ " " ~ month[:7] ~ ": " ~ version.landed_rows ~ " rows landed, " ~ rows ~ " built;"
            ~ " nothing was changed; land the month again: " ~ run_again(version, "--force")
        ) }}
    {%- endif -%}
    {%- if version.names_repeated_rows -%}
        {%- do number_repeated_keys(built, dataset, version) -%}
    {%- endif -%}
    {%- if is_first -%}
        {%- do index_ids(built) -%}
        {%- do create_indexes(built) -%}
        {%- do check_month(built, month, model.columns) -%}
        {%- do attach_partition(table, partition, built, month) -%}
    {%- endif -%}
    {%- set before, unchanged = (0, 0) if is_first else update_partition(partition, built, rows) -%}
    {%- call statement('record') -%}
        {{ record_merge_sql(dataset, version, rows, before, unchanged) }}
    {%- endcall -%}
    {%- do adapter.commit() -%}
    {#- psycopg2 takes no notice of that COMMIT, and dbt-postgres leaves BEGIN to psycopg2. -#}
    {%- call statement('begin') -%}begin{%- endcall -%}
    {%- do log_merge(dataset, month, rows, before, unchanged) -%}
{% endmacro %}

{#- One script with one transaction: an error in it, or the end of the job, leaves the month as it was.
    The rows are computed where they are needed, and the raw rows are all that a first version reads:
    BigQuery bills bytes read, and computing is free. Every statement on the table names the month's
    partition, and as a whole: then a DELETE reads nothing. No variable has the name of a column: BigQuery
    would take the column. -#}
{% macro bigquery__merge_file_month(table, dataset, version, model_sql) %}
    {%- set month = version.file_month -%}
    {%- set rows_sql -%}
        select
            {%- for column in model.columns %}
            {{ adapter.quote(column) }}{{ ',' if not loop.last }}
            {%- endfor %}
        from ({{ model_sql }}) as model
        where file_month = date '{{ month }}'
    {%- endset -%}
    {%- set new_rows_sql = numbered_rows(dataset, model.columns, rows_sql) -%}
    {%- set is_month = whole_month('file_month', month) -%}
    {%- set script -%}
        declare built_row_count, former_row_count, unchanged_row_count, stored_row_count int64 default 0;

        begin transaction;
        set former_row_count = (select count(*) from {{ table }} where {{ is_month }});
        if former_row_count > 0 then
            set unchanged_row_count = (
                select count(*)
                from ({{ new_rows_sql }}) as new_version
                inner join {{ table }} as old_version
                    on new_version.unique_row_id = old_version.unique_row_id
                where
                    {{ whole_month('old_version.file_month', month) }}
                    {%- for column in model.columns if column != 'file_row' %}
                    and new_version.{{ adapter.quote(column) }} is not distinct from old_version.{{ adapter.quote(column) }}
                    {%- endfor %}
            );
            delete from {{ table }} where {{ is_month }};
        end if;

        insert into {{ table }} ({{ model.columns | join(', ') }})
        {{ new_rows_sql }};
        set built_row_count = @@row_count;
        if built_row_count != {{ version.landed_rows }} then
            raise using message = format(
                '{{ dataset }} {{ month[:7] }}: {{ version.landed_rows }} rows landed, %d built; nothing was changed',
                built_row_count
            );
        end if;
        -- What is stored, not what was sent: a partition that has expired takes rows and keeps none.
        set stored_row_count = (select count(*) from {{ table }} where {{ is_month }});
        if stored_row_count != built_row_count then
            raise using message = format(
                '{{ dataset }} {{ month[:7] }}: %d rows built, %d stored; nothing was changed: the partitions of {{ table | replace("`", "") }} expire; nyc-tlc doctor says how to mend it',
                built_row_count,
                stored_row_count
            );
        end if;
        {{ record_merge_sql(dataset, version, 'built_row_count', 'former_row_count', 'unchanged_row_count') }};
        commit transaction;

        select built_row_count, former_row_count, unchanged_row_count;
    {%- endset -%}
    {%- set counts = run_query(script).rows[0] -%}
    {%- do log_merge(dataset, month, counts[0] | int, counts[1] | int, counts[2] | int) -%}
{% endmacro %}


{% macro log_merge(dataset, month, rows, before, unchanged) %}
    {%- do log(
        dataset ~ " " ~ month[:7] ~ ": " ~ rows ~ " rows, " ~ (rows - unchanged) ~ " added, "
        ~ (before - unchanged) ~ " removed, " ~ unchanged ~ " unchanged", info=true
    ) -%}
{% endmacro %}


{#- SQL that writes the version to the ledger as the current one of its month. Run it in the transaction
    that changes the table. -#}
{% macro record_merge_sql(dataset, version, rows, before, unchanged) %}
    {%- set ledger, month_files = ref('file_ledger'), source('tlc_raw', 'month_files') -%}
    {%- set is_this_month -%} dataset = '{{ dataset }}' and file_month = date '{{ version.file_month }}' {%- endset -%}
    {%- if version.is_merged -%}
        -- The same version, built again: the counts of its first merge are kept.
        update {{ ledger }}
        set
            table_rows = {{ rows }},
            merged_at = {{ utc_now() }},
            invocation_id = '{{ invocation_id }}'
        where {{ is_this_month }} and is_current
    {%- else -%}
        {%- set replace_former_sql -%}
        update {{ ledger }} set is_current = false where {{ is_this_month }} and is_current;
        delete from {{ ledger }}
        where {{ is_this_month }} and sha256 in (
            select sha256 from {{ month_files }} where load_id = '{{ version.load_id }}'
        );
        {%- endset -%}
        {{ if_in_ledger(ledger, is_this_month, replace_former_sql) }}
        insert into {{ ledger }} (
            dataset, file_month, file_name, source_url, etag, last_modified, file_bytes, sha256,
            file_rows, landed_rows, table_rows, rows_added, rows_removed, rows_unchanged,
            landed_at, merged_at, loader_version, is_current, load_id, invocation_id
        )
        select
            dataset, file_month, file_name, source_url, etag, {{ wall_clock('last_modified') }},
            file_bytes, sha256, file_rows, landed_rows, {{ rows }}, {{ rows }} - {{ unchanged }},
            {{ before }} - {{ unchanged }}, {{ unchanged }}, {{ wall_clock('landed_at') }},
            {{ utc_now() }}, loader_version, true, load_id, '{{ invocation_id }}'
        from {{ month_files }}
        where {{ is_this_month }} and load_id = '{{ version.load_id }}'
    {%- endif -%}
{% endmacro %}


{#- BigQuery aborts a transaction that updates or deletes rows of a table beside another that does, and
    lets any number insert: so months that are merged for the first time only insert. -#}
{% macro if_in_ledger(ledger, is_this_month, sql) -%}
    {{ return(adapter.dispatch('if_in_ledger', 'nyc_tlc')(ledger, is_this_month, sql)) }}
{%- endmacro %}

{% macro default__if_in_ledger(ledger, is_this_month, sql) -%}
    {{ sql }}
{%- endmacro %}

{% macro bigquery__if_in_ledger(ledger, is_this_month, sql) -%}
        if exists (select 1 from {{ ledger }} where {{ is_this_month }}) then
        {{ sql }}
        end if;
{%- endmacro %}


{#- SQL that is true in a month's partition, all of it: BigQuery takes a date for a part of its month. -#}
{% macro whole_month(column, month) -%}
    {{ column }} >= date '{{ month }}' and {{ column }} < date_add(date '{{ month }}', interval 1 month)
{%- endmacro %}


{% macro utc_now() -%}
    {{ return(adapter.dispatch('utc_now', 'nyc_tlc')()) }}
{%- endmacro %}

{% macro default__utc_now() -%}
    timezone('UTC', now())
{%- endmacro %}

{% macro bigquery__utc_now() -%}
    current_datetime('UTC')
{%- endmacro %}


{% macro append_new_columns(table) %}
    {%- set existing = adapter.get_columns_in_relation(table) | map(attribute='name') | list -%}
    {%- for column in model.columns.values() if column.name not in existing -%}
        {%- call statement('add_column') -%}
            alter table {{ table }} add column {{ adapter.quote(column.name) }} {{ column.data_type }}
        {%- endcall -%}
    {%- endfor -%}
{% endmacro %}
